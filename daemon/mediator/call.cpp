#include "daemon/mediator/call.hpp"

#include <poll.h>

#include "daemon/wire/fd_stream.hpp"

namespace airlock {

void check_that_client_waits(const Call& call) {
  pollfd polled{call.client, POLLRDHUP, 0};
  if (::poll(&polled, 1, 0) > 0)
    throw wire::WatchedHungUp("the client hung up while its request waited for its turn");
}

}  // namespace airlock
