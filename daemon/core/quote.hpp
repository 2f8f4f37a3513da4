#pragma once

#include <string>
#include <string_view>

namespace airlock {

/// Text of unknown origin made fit for an error sentence: in single quotes, at most 200 bytes of
/// it, everything but printable ASCII as \xNN, so that it cannot move a terminal's cursor.
[[nodiscard]] std::string quote(std::string_view text);

}  // namespace airlock
