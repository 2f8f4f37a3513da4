#pragma once

#include <string>
#include <string_view>

#include "fusefs/caller.hpp"

namespace airlock::fusefs {

/// What may be shown to a user: printable ASCII, at most 512 characters. Pure.
[[nodiscard]] std::string printable(std::string_view text);

/// Ends a sandbox: writes the reason to the terminal that its first process has for stderr, which
/// is the build log (best effort, never waits), then kills that process, and with it every process
/// of the sandbox. Returns false when it was gone already.
bool kill_sandbox(const FirstProcess& first, std::string_view reason);

}  // namespace airlock::fusefs
