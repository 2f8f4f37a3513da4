#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <vector>

#include "fusefs/closer.hpp"

namespace airlock::fusefs {

/// The sockets that sandboxes' clients talk to, held open beside airlockd's own, so that a client
/// does not see its connection end when airlockd is killed: its sandbox must be ended before
/// anything in it can tell. A connection that airlockd ends itself is shut down, which ends it
/// whoever holds it.
///
/// Bounded, also by what this process may open: what is past the bound is not held. Nothing is
/// waited for. Lives on the event loop.
class HeldClients {
 public:
  /// Holds a duplicate. socket: a unix socket, airlockd's end of a connection of this session's.
  void hold(std::uint64_t session, int socket);
  /// Lets go of all that the session has; its sandbox is gone.
  void release(std::uint64_t session);

 private:
  /// Lets go of those whose connection is over.
  void sweep(std::vector<Fd>& sockets);
  void let_go(Fd socket);

  std::map<std::uint64_t, std::vector<Fd>> held_;
  std::size_t count_ = 0;
  /// Its own: what a client has sent and nobody has read is closed with the socket, and may keep
  /// that waiting, for which airlockd is not to blame.
  Closer closer_;
};

}  // namespace airlock::fusefs
