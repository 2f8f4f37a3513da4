#pragma once

#include <sys/socket.h>

#include <catch2/catch.hpp>
#include <optional>
#include <string>
#include <thread>

#include "daemon/mediator/connection.hpp"
#include "daemon/wire/fd_stream.hpp"
#include "daemon/wire/handshake.hpp"
#include "daemon/wire/messages.hpp"
#include "tests/unit/mediator/fakes.hpp"

namespace airlock::fakes {

/// A client at one end of a socket pair, serve_connection on a thread at the other.
class Conversation {
 public:
  explicit Conversation(World& world) : Conversation(world, world.session) {}
  Conversation(World& world, Session& session) : world_(world) {
    int ends[2];
    REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0);
    client_ = Fd(ends[0]);
    server_ = Fd(ends[1]);
    thread_ = std::thread([this, &session] {
      serve_connection(server_.get(), 1, session, world_.services);
      server_.reset();
    });
    source_.emplace(client_.get(), std::chrono::seconds(10));
    sink_.emplace(client_.get(), std::chrono::seconds(10));
    reader_.emplace(*source_, world.config.layout, wire::Caps{});
    writer_.emplace(*sink_, world.config.layout);
  }
  Conversation(const Conversation&) = delete;
  Conversation& operator=(const Conversation&) = delete;
  ~Conversation() {
    client_.reset();
    thread_.join();
  }

  wire::Reader& from() { return *reader_; }
  wire::Writer& to() { return *writer_; }
  void handshake(wire::Version offered = wire::newest) {
    const auto server = wire::begin_handshake(from(), to());
    version_ = wire::complete_handshake(from(), to(), server, offered).version;
    REQUIRE_FALSE(finish().has_value());
  }
  /// The error, if it ended in one.
  std::optional<std::string> finish() {
    to().flush();
    for (;;) {
      const auto message = wire::read_log_message(from(), version_);
      if (std::holds_alternative<wire::Last>(message)) return std::nullopt;
      if (const auto* error = std::get_if<wire::Error>(&message)) return error->message;
    }
  }
  template <class R>
  std::optional<std::string> ask(wire::Op op, const R& request) {
    to().u64(static_cast<std::uint64_t>(op));
    request.encode(to(), world_.config.layout, wire::newest);
    return finish();
  }
  std::optional<std::string> upload(wire::Op, const wire::AddToStore& request,
                                    const std::string& bytes) {
    return upload(request, bytes);
  }
  template <class R>
  std::optional<std::string> upload(const R& request, const std::string& bytes) {
    to().u64(static_cast<std::uint64_t>(R::number));
    request.encode(to(), world_.config.layout, wire::newest);
    wire::FramedSink frames(to());
    frames.write(bytes);
    frames.finish();
    return finish();
  }

 private:
  World& world_;
  wire::Version version_ = wire::newest;
  Fd client_;
  Fd server_;
  std::thread thread_;
  std::optional<wire::FdSource> source_;
  std::optional<wire::FdSink> sink_;
  std::optional<wire::Reader> reader_;
  std::optional<wire::Writer> writer_;
};

}  // namespace airlock::fakes
