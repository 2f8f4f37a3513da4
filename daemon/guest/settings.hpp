#pragma once

#include <string_view>

namespace airlock::guest {

// Nix's settings in an evaluation that is to mean the same in any sandbox. Pure; decided on the
// safe side, as in closed.hpp.

/// The setting ("extra-" in front or not) takes words, numbers or truth values, and no name of a
/// file: whatever its value, it means the same everywhere. A setting that is not known does not.
[[nodiscard]] bool names_no_file(std::string_view setting);

/// Lines as in nix.conf, all of such settings. An include, or a line that Nix refuses, is none.
[[nodiscard]] bool name_no_file(std::string_view lines);

}  // namespace airlock::guest
