#pragma once

#include <string>
#include <vector>

namespace airlock::command {

/// Becomes the `airlock` command of the same installation (libexec/airlock/.. /../bin/airlock), for
/// what a small static hook program cannot do itself. Returns only when that failed: the sentence.
[[nodiscard]] std::string become_airlock(const std::vector<std::string>& arguments);

}  // namespace airlock::command
