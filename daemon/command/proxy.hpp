#pragma once

#include "daemon/command/cli.hpp"

namespace airlock::command {

/// `airlock proxy`: serves until it is told to stop. Returns the exit code.
[[nodiscard]] int proxy(Config config, const Proxy& wanted);

}  // namespace airlock::command
