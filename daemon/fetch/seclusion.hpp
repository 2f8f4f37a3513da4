#pragma once

#include <string>

#include "daemon/fetch/download.hpp"

namespace airlock::fetch {

/// Takes this process, which is root and has one thread, into a mount namespace of its own in which
/// Nix's state folder, airlock's ledger, and all of /run but what name lookups need are not there.
/// What runs in it without privilege cannot undo that. The error is one sentence.
[[nodiscard]] Done seclude(const Config& config);

}  // namespace airlock::fetch
