#pragma once

#include "daemon/command/cli.hpp"

namespace airlock::command {

/// `airlock ledger`: prints the sessions that were asked for. Returns the exit code.
[[nodiscard]] int show_ledger(const Config& config, const ShowLedger& wanted);

}  // namespace airlock::command
