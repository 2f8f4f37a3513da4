#pragma once

#include <chrono>

#include "daemon/config/config.hpp"

namespace airlock::command {

/// `airlock status`: prints one sentence and returns the exit code, `unavailable` when builds that
/// ask cannot be served, also after `wait`.
[[nodiscard]] int show_status(const Config& config, std::chrono::seconds wait);

}  // namespace airlock::command
