#pragma once

#include <string>
#include <string_view>

namespace airlock::command {

/// What Nix's pre-build hook may print: blocks of a line "extra-sandbox-paths", lines
/// "target=source", and a blank line. Adds one entry after what another hook printed, where it
/// overrides an earlier one for the same target. An unterminated last line of the other's is left
/// out, as Nix ignores it.
[[nodiscard]] std::string with_sandbox_path(std::string_view printed, std::string_view target,
                                            std::string_view source);

}  // namespace airlock::command
