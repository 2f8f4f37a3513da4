#pragma once

#include <cstdint>
#include <memory>

#include "daemon/mediator/call.hpp"
#include "fusefs/boundary/fd.hpp"

namespace airlock {

/// Serves one connection of one session until it ends, on the calling thread: verifies the caller,
/// shakes hands, then takes one operation after another. Every operation, and why a connection
/// ended when it was not in good order, goes to the ledger. Never throws.
///
/// index counts a session's connections from 1. Shutting the socket down from another thread ends
/// it.
void serve_connection(int socket, std::uint64_t index, Session& session, Services& services);

}  // namespace airlock
