#pragma once

#include <string>
#include <string_view>

namespace airlock {

/// Text of another program, which may colour it and break its lines, in one plain line: without a
/// terminal's escape sequences, and one space for each run of other control characters. Bytes
/// beyond ASCII stay as they are. What an unfinished sequence swallows is lost.
[[nodiscard]] std::string one_plain_line(std::string_view text);

}  // namespace airlock
