#include "tests/bench/client.hpp"

#include <sys/socket.h>
#include <sys/un.h>

#include <cerrno>
#include <cstring>
#include <stdexcept>

#include "daemon/wire/log.hpp"

namespace airlock::bench {

namespace {

/// As Nix's clients, which wait as long as it takes.
constexpr std::chrono::seconds deadline{0};

}  // namespace

Fd connect_to(const std::string& socket) {
  Fd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  socket.copy(address.sun_path, sizeof address.sun_path - 1);
  if (::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
    throw std::runtime_error("cannot connect to " + socket + ": " + std::strerror(errno));
  return fd;
}

Client::Client(const std::string& socket)
    : fd_(connect_to(socket)),
      source_(fd_.get(), deadline),
      sink_(fd_.get(), deadline),
      reader(source_, layout_, {}),
      writer(sink_, layout_) {
  version_ = wire::offer_handshake(reader, writer).version;
  finish();
}

void Client::finish() {
  writer.flush();
  for (;;) {
    const auto message = wire::read_log_message(reader, version_);
    if (std::holds_alternative<wire::Last>(message)) return;
    if (const auto* error = std::get_if<wire::Error>(&message))
      throw std::runtime_error("the server answers: " + error->message);
  }
}

}  // namespace airlock::bench
