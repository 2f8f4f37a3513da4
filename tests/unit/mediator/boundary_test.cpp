#include "daemon/mediator/boundary.hpp"

#include <sys/socket.h>
#include <sys/un.h>

#include <boost/filesystem.hpp>
#include <catch2/catch.hpp>
#include <optional>
#include <thread>

namespace airlock {

namespace {

using boundary::Channel;
using boundary::Message;
using boundary::MessageType;

/// A socket that listens, and does with the one connection it takes what it was told.
class Listener {
 public:
  explicit Listener(const std::optional<Message>& first) : first_(first) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    path.copy(address.sun_path, path.size());
    REQUIRE(::bind(socket_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) ==
            0);
    REQUIRE(::listen(socket_.get(), 1) == 0);
  }
  ~Listener() { boost::filesystem::remove(path); }
  Listener(const Listener&) = delete;
  Listener& operator=(const Listener&) = delete;

  /// Takes the connection, sends the first message if there is one, and closes.
  void serve() {
    Channel channel(Fd(::accept(socket_.get(), nullptr, nullptr)));
    if (first_) sent = channel.send(*first_);
  }
  bool sent = false;  ///< Catch2 counts from one thread only, and this is another
  void die() { socket_.reset(); }

  const std::string path = (boost::filesystem::temp_directory_path() /
                            boost::filesystem::unique_path("airlock-%%%%%%%%"))
                               .string();

 private:
  std::optional<Message> first_;
  Fd socket_{::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0)};
};

bool never() {
  return false;
}

}  // namespace

TEST_CASE("airlock-fs is there once it has said welcome") {
  Listener listener(Message{MessageType::welcome, 0, 0, {}});
  std::thread server([&] { listener.serve(); });
  CHECK(ControlChannel::connect(listener.path, never));
  server.join();
  CHECK(listener.sent);
}

TEST_CASE("a connection that a dying airlock-fs had in its queue is none") {
  // The kernel completes connect for a listener, whoever is about to close it.
  Listener listener(std::nullopt);
  std::thread killer([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
    listener.die();
  });
  const auto channel = ControlChannel::connect(listener.path, never);
  killer.join();
  REQUIRE_FALSE(channel);
  CHECK(channel.error() == "airlock-fs closed the connection");
}

TEST_CASE("another first word is refused, and waiting ends when told to stop") {
  Listener other(Message{MessageType::session_closed, 1, 0, {}});
  std::thread server([&] { other.serve(); });
  CHECK_FALSE(ControlChannel::connect(other.path, never));
  server.join();
  CHECK(other.sent);
  const Listener silent(std::nullopt);
  CHECK_FALSE(ControlChannel::connect(silent.path, [] { return true; }));
}

}  // namespace airlock
