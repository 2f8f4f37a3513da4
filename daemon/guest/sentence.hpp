#pragma once

#include <string>
#include <string_view>

namespace airlock::guest {

/// An error of any number of lines (two builders that failed, a file's name with a line break in
/// it) as one line: the lines joined by "; ", without blanks and colons at their ends, colours and
/// control characters. Pure.
[[nodiscard]] std::string one_sentence(std::string_view error);

}  // namespace airlock::guest
