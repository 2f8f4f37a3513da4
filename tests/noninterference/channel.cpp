#include "tests/noninterference/channel.hpp"

#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <stdexcept>

#include "daemon/wire/unix_socket.hpp"

namespace noninterference {

namespace {

using namespace airlock;

/// Far longer than anything here takes: only a hang is that long.
constexpr std::chrono::seconds patience{100};
constexpr std::string_view goodbye = "airlock ended the connection";

Fd connected(const std::string& socket) {
  auto fd = wire::connect_unix(socket);
  if (!fd) throw std::runtime_error(fd.error());
  return *std::move(fd);
}

}  // namespace

Channel::Channel(const std::string& socket, const StoreLayout& layout)
    : fd_(connected(socket)),
      layout_(layout),
      source_(fd_.get(), patience),
      sink_(fd_.get(), patience),
      reader_(source_, layout_, {}),
      writer_(sink_, layout_) {}

std::string Channel::shake_hands(wire::Version offered) {
  const auto server = wire::begin_handshake(reader_, writer_);
  version_ = wire::complete_handshake(reader_, writer_, server, offered).version;
  writer_.flush();
  while (!std::holds_alternative<wire::Last>(wire::read_log_message(reader_, version_))) continue;
  return std::exchange(source_.seen, {});
}

void Channel::send(std::string_view bytes) {
  try {
    sink_.write(bytes);
    sink_.flush();
  } catch (const ConnectionOver&) {
    return;  // what the peer said before it closed is read all the same
  }
}

void Channel::require_closed(const char* why) {
  char byte = 0;
  const auto n = ::recv(fd_.get(), &byte, 1, MSG_PEEK | MSG_DONTWAIT);
  if (n == 0 || (n < 0 && errno == ECONNRESET)) return;
  throw std::runtime_error(std::string("a server neither answered nor closed: ") + why);
}

Outcome Channel::receive(const Exchange& exchange) {
  Outcome outcome;
  source_.seen.clear();
  try {
    receive_until_end(exchange, outcome);
  } catch (const ConnectionOver& over) {
    require_closed(over.what());
    outcome.bytes += source_.seen;
  }
  source_.seen.clear();
  return outcome;
}

void Channel::receive_until_end(const Exchange& exchange, Outcome& outcome) {
  std::string_view pieces = exchange.pieces;
  for (;;) {
    const auto message = wire::read_log_message(reader_, version_);
    const bool is_log = std::holds_alternative<wire::LogLine>(message) ||
                        std::holds_alternative<wire::StartActivity>(message) ||
                        std::holds_alternative<wire::StopActivity>(message) ||
                        std::holds_alternative<wire::ActivityResult>(message);
    // Exempt is the log of builds only: any other is compared.
    if (!is_log || !exchange.builds) outcome.bytes += source_.seen;
    source_.seen.clear();
    outcome.told =
        std::holds_alternative<wire::Last>(message) || std::holds_alternative<wire::Error>(message);
    if (const auto* wanted = std::get_if<wire::ReadRequest>(&message)) {
      const auto piece = pieces.substr(0, std::min<std::uint64_t>(wanted->most, pieces.size()));
      pieces.remove_prefix(piece.size());
      StringSink encoded;
      wire::Writer(encoded, layout_).string(piece);
      send(encoded.text());
    } else if (const auto* error = std::get_if<wire::Error>(&message)) {
      outcome.message = error->message;
      outcome.end = End::error;
      if (!error->message.starts_with(goodbye)) return;
      outcome.end = End::closed;
      char more = 0;
      reader_.raw({&more, 1});  // throws, as it should
      throw std::runtime_error("a server went on after it had ended the connection");
    } else if (std::holds_alternative<wire::Last>(message)) {
      exchange.read_reply(reader_, version_);
      outcome.bytes += source_.seen;
      outcome.end = End::replied;
      return;
    }
  }
}

}  // namespace noninterference
