#pragma once

#include <memory>
#include <string>

#include "daemon/wire/fd_stream.hpp"
#include "daemon/wire/handshake.hpp"
#include "daemon/wire/log.hpp"
#include "fusefs/boundary/fd.hpp"
#include "tests/noninterference/exchange.hpp"

namespace noninterference {

/// How an operation ended.
enum class End {
  replied,
  error,   ///< the connection goes on
  closed,  ///< an error that ends the connection
  silent,  ///< the connection ended without a word: the session was condemned
};

struct Outcome {
  End end = End::silent;
  std::string bytes;      ///< all that counts, as it came
  std::string message{};  ///< the error's
  bool told = false;      ///< a reply or an error has begun
};

/// One client's connection. Throws std::runtime_error when the peer is silent past the deadline.
class Channel {
 public:
  Channel(const std::string& socket, const airlock::StoreLayout& layout);

  /// Negotiates the version, and returns all that the server said meanwhile.
  [[nodiscard]] std::string shake_hands(airlock::wire::Version offered);
  /// A part of what is to be sent; what the peer no longer takes is dropped.
  void send(std::string_view bytes);
  [[nodiscard]] Outcome receive(const Exchange& exchange);
  [[nodiscard]] airlock::wire::Version version() const { return version_; }

 private:
  /// Remembers what passes.
  class Tee final : public airlock::Source {
   public:
    Tee(int fd, std::chrono::milliseconds deadline) : inner(fd, deadline) {}
    void read(std::span<char> buffer) override {
      inner.read(buffer);
      seen.append(buffer.data(), buffer.size());
    }
    airlock::wire::FdSource inner;
    std::string seen;
  };

  void receive_until_end(const Exchange& exchange, Outcome& outcome);
  /// That the peer closed; anything else is a failure of the test.
  void require_closed(const char* why);

  airlock::Fd fd_;
  airlock::StoreLayout layout_;
  Tee source_;
  airlock::wire::FdSink sink_;
  airlock::wire::Reader reader_;
  airlock::wire::Writer writer_;
  airlock::wire::Version version_ = airlock::wire::newest;
};

}  // namespace noninterference
