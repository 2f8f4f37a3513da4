#include "daemon/mediator/call.hpp"

#include <poll.h>

#include "daemon/wire/fd_stream.hpp"

namespace airlock {

void Call::check_that_client_waits() const {
  pollfd polled{client, POLLRDHUP, 0};
  if (::poll(&polled, 1, 0) > 0)
    throw wire::WatchedHungUp("the client hung up while its request waited for its turn");
}

}  // namespace airlock
