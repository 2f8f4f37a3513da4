#pragma once

#include <spdlog/spdlog.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <array>
#include <chrono>
#include <string>
#include <string_view>
#include <thread>

#include "daemon/mediator/connection.hpp"
#include "daemon/wire/handshake.hpp"
#include "daemon/wire/log.hpp"
#include "tests/fuzz/fuzz.hpp"
#include "tests/unit/mediator/fakes.hpp"

namespace airlock::fuzz {

/// More would not fit into a socket whose other end is not read yet.
inline constexpr std::size_t longest_stream = 64 * 1024;

/// What a client of this version sends first.
inline std::string client_greeting(wire::Version version) {
  StringSink sink;
  wire::Writer to(sink, layout);
  to.u64(wire::client_magic);
  to.u64(version.encoded());
  if (version >= wire::since::features) to.u64(0);
  to.u64(0);
  to.u64(0);
  return sink.text();
}

/// What a daemon of this version sends first.
inline std::string daemon_greeting(wire::Version version) {
  StringSink sink;
  wire::Writer to(sink, layout);
  to.u64(wire::server_magic);
  to.u64(version.encoded());
  if (version >= wire::since::features) to.u64(0);
  if (version >= wire::since::nix_version) to.string("2.26.3");
  if (version >= wire::since::trust) to.u64(2);
  wire::write_log_message(to, wire::Last{}, version);
  return sink.text();
}

inline void say(int fd, std::string_view bytes) {
  while (!bytes.empty()) {
    const auto n = ::send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (n <= 0) break;  // whoever was spoken to has ended the connection
    bytes.remove_prefix(static_cast<std::size_t>(n));
  }
}

/// What comes until the other side has closed.
inline std::string hear(int fd) {
  std::string heard;
  std::array<char, 16 * 1024> buffer{};
  for (;;) {
    const auto n = ::recv(fd, buffer.data(), buffer.size(), 0);
    if (n <= 0) return heard;
    heard.append(buffer.data(), static_cast<std::size_t>(n));
  }
}

/// A world of fakes with one connection whose client says all that it has to say, hangs up, and
/// hears what it is answered.
class Conversation {
 public:
  Conversation() {
    static const bool quiet = [] {
      spdlog::set_level(spdlog::level::off);
      return true;
    }();
    (void)quiet;
    auto& limits = world.config.limits;
    limits.string_bytes = caps.string_bytes;
    limits.list_items = caps.list_items;
    limits.derivation_bytes = 32 * 1024;
    limits.nar_bytes = 48 * 1024;
    limits.stall = std::chrono::seconds(1);
    world.session.stop();  // nothing waits for an airlock-fs that never comes back
  }

  std::string run(std::string_view client_says) {
    return converse(client_says.substr(0, longest_stream), {}, Fd());
  }

  /// Profile observe, with a daemon that says all that it has to say as well.
  std::string run(std::string_view client_says, std::string_view daemon_says) {
    world.services.profile = Profile::observe;
    world.config.upstream = (world.folder / "socket").string();
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    world.config.upstream.copy(address.sun_path, sizeof address.sun_path - 1);
    Fd listener(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    require(::bind(listener.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) == 0 &&
                ::listen(listener.get(), 1) == 0,
            "there is a socket to listen on");
    return converse(client_says.substr(0, longest_stream), daemon_says.substr(0, longest_stream),
                    std::move(listener));
  }

  fakes::World world;

 private:
  /// All on one thread, as far as it goes: what is said waits in the sockets.
  std::string converse(std::string_view client_says, std::string_view daemon_says, Fd listener) {
    std::array<int, 2> ends{};
    require(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()) == 0,
            "there are sockets");
    const Fd client(ends[0]);
    Fd server(ends[1]);
    // Without the right to that much, what a long conversation has to say ends in a stall.
    const int room = 16 << 20;
    if (::setsockopt(server.get(), SOL_SOCKET, SO_SNDBUFFORCE, &room, sizeof room) != 0)
      ::setsockopt(server.get(), SOL_SOCKET, SO_SNDBUF, &room, sizeof room);
    say(client.get(), client_says);
    std::thread daemon;
    if (listener)
      daemon = std::thread([&] {
        const Fd accepted(::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
        say(accepted.get(), daemon_says);
        ::shutdown(accepted.get(), SHUT_WR);
        ::shutdown(client.get(), SHUT_WR);  // not before: a hang-up ends every wait for the daemon
        (void)hear(accepted.get());
      });
    else
      ::shutdown(client.get(), SHUT_WR);
    serve_connection(server.get(), 1, world.session, world.services);
    server.reset();
    if (daemon.joinable()) daemon.join();
    return hear(client.get());
  }
};

}  // namespace airlock::fuzz
