// What a raw hole is: bytes from a socket in the sandbox to nix-daemon's and back, with nobody who
// looks at them.
//   raw-relay LISTEN-SOCKET DAEMON-SOCKET
// The daemon sees this process's user in place of the builder, which it would turn away; a daemon
// patched to take builders looks the same from inside. One thread a connection.
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <thread>
#include <vector>

#include "fusefs/boundary/fd.hpp"

namespace {

using airlock::Fd;

sockaddr_un address_of(const char* path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::strncpy(address.sun_path, path, sizeof address.sun_path - 1);
  return address;
}

Fd make_socket() {
  return Fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
}

/// Passes on what is there; false at the end.
bool pass(int from, int to) {
  std::array<char, 1 << 16> buffer{};
  const ssize_t got = ::read(from, buffer.data(), buffer.size());
  if (got <= 0) return false;
  for (ssize_t sent = 0; sent < got;) {
    const ssize_t put = ::write(to, buffer.data() + sent, static_cast<std::size_t>(got - sent));
    if (put <= 0) return false;
    sent += put;
  }
  return true;
}

void relay(const Fd& client, const char* daemon_path) {
  const Fd daemon = make_socket();
  const auto address = address_of(daemon_path);
  if (::connect(daemon.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
    return;
  std::array<pollfd, 2> ends{{{client.get(), POLLIN, 0}, {daemon.get(), POLLIN, 0}}};
  while (::poll(ends.data(), ends.size(), -1) > 0) {
    if (ends[0].revents != 0 && !pass(client.get(), daemon.get())) return;
    if (ends[1].revents != 0 && !pass(daemon.get(), client.get())) return;
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) {
    std::fprintf(stderr, "usage: raw-relay LISTEN-SOCKET DAEMON-SOCKET\n");
    return 2;
  }
  std::signal(SIGPIPE, SIG_IGN);
  ::umask(0);
  const Fd listening = make_socket();
  const auto address = address_of(argv[1]);
  constexpr int backlog = 128;
  if (::bind(listening.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 ||
      ::listen(listening.get(), backlog) != 0) {
    std::perror("raw-relay: listen");
    return 1;
  }
  for (;;) {
    Fd client(::accept4(listening.get(), nullptr, nullptr, SOCK_CLOEXEC));
    if (!client) continue;
    std::thread([client = std::move(client), path = argv[2]] { relay(client, path); }).detach();
  }
}
