#include "fusefs/held_clients.hpp"

#include <fcntl.h>
#include <linux/sockios.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/resource.h>

#include <algorithm>
#include <utility>

namespace airlock::fusefs {
namespace {

constexpr std::size_t most_of_a_session = 256;  ///< airlockd serves 64 at once, by default

/// Of all sessions. The rest of what this process may open is for what it cannot do without.
std::size_t most() {
  constexpr rlim_t ever = 16384;
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return 0;
  return std::min(ever, limit.rlim_cur / 4);
}

/// Both ends are gone, or airlockd has shut it down.
bool is_over(const Fd& socket) {
  pollfd polled{socket.get(), 0, 0};
  return ::poll(&polled, 1, 0) == 1;
}

/// A file that was sent and not taken comes with a byte at least, and could keep close(2) waiting.
bool is_empty(const Fd& socket) {
  int bytes = 0;
  return ::ioctl(socket.get(), SIOCINQ, &bytes) == 0 && bytes == 0;
}

}  // namespace

void HeldClients::hold(std::uint64_t session, int socket) {
  auto& sockets = held_[session];
  sweep(sockets);
  if (sockets.size() >= most_of_a_session || count_ >= most() || closer_.is_stuck()) return;
  Fd held(::fcntl(socket, F_DUPFD_CLOEXEC, 0));
  if (!held) return;
  sockets.push_back(std::move(held));
  ++count_;
}

void HeldClients::release(std::uint64_t session) {
  const auto found = held_.find(session);
  if (found == held_.end()) return;
  for (auto& socket : found->second) let_go(std::move(socket));
  held_.erase(found);
}

void HeldClients::sweep(std::vector<Fd>& sockets) {
  const auto over = std::partition(sockets.begin(), sockets.end(),
                                   [](const Fd& socket) { return !is_over(socket); });
  for (auto each = over; each != sockets.end(); ++each) let_go(std::move(*each));
  sockets.erase(over, sockets.end());
}

void HeldClients::let_go(Fd socket) {
  --count_;
  if (is_empty(socket)) return;  // closed here: most are, and a connection need not wait for it
  closer_.close(std::move(socket));
}

}  // namespace airlock::fusefs
