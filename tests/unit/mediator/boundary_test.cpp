#include "daemon/mediator/boundary.hpp"

#include <fmt/format.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <algorithm>
#include <array>
#include <boost/filesystem.hpp>
#include <catch2/catch.hpp>
#include <future>
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

/// A connection of airlockd's, served on a thread as airlockd does, and airlock-fs's end of it.
class Connected {
 public:
  explicit Connected(ControlChannel& control) {
    std::array<int, 2> ends{};
    REQUIRE(::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends.data()) == 0);
    filesystem.emplace(Fd(ends[0]));
    control.take_up(Channel(Fd(ends[1])));
    receiver_ = std::thread([&control] { control.run([](const auto&) {}); });
  }
  ~Connected() { lose(); }
  Connected(const Connected&) = delete;
  Connected& operator=(const Connected&) = delete;

  void lose() {
    filesystem.reset();
    if (receiver_.joinable()) receiver_.join();
  }
  Message next() {
    auto received = filesystem->receive();
    REQUIRE(received);
    return received->message;
  }
  void succeed(const Message& request) {
    REQUIRE(filesystem->send({MessageType::succeeded, request.session, request.request, {}}));
  }
  [[nodiscard]] bool silent() const {
    pollfd polled{filesystem->fd(), POLLIN, 0};
    return ::poll(&polled, 1, 100) == 0;
  }

  std::optional<Channel> filesystem;

 private:
  std::thread receiver_;
};

StorePath store_path(char letter) {
  return *StorePath::parse(std::string(32, letter) + "-path");
}

template <typename Ask>
std::future<Boundary::Result> start(Ask ask) {
  return std::async(std::launch::async, ask);
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

TEST_CASE("what airlock-fs did not answer is asked of the next one, once that has the session") {
  ControlChannel control;
  std::optional<Connected> first(std::in_place, control);
  control.add(7);
  auto verified = start([&] { return control.verify(7, 0); });
  CHECK(first->next().type == MessageType::verify);
  first.reset();
  auto condemned = start([&] { return control.condemn(7, "too late"); });
  Connected second(control);
  CHECK(second.silent());
  auto resumed = start([&] {
    return control.resume(7, {store_path('a'), store_path('b')}, {{{"x", store_path('a')}}, {}});
  });
  const auto reveal = second.next();
  CHECK(reveal.type == MessageType::reveal);
  CHECK(reveal.strings.size() == 2);
  CHECK(second.silent());
  second.succeed(reveal);
  const auto ready = second.next();
  CHECK(ready.type == MessageType::session_ready);
  CHECK(ready.strings == std::vector<std::string>{"x", store_path('a').base()});
  // The sandbox does not see its view before this is answered.
  CHECK(second.silent());
  second.succeed(ready);
  CHECK(resumed.get());
  for (int i = 0; i < 2; ++i) second.succeed(second.next());
  CHECK(verified.get());
  CHECK(condemned.get());
}

namespace {

/// More than two messages of paths, in order.
std::set<StorePath> many_paths() {
  std::set<StorePath> paths;
  for (int i = 0; i < 80; ++i)
    paths.insert(StorePath::parse(fmt::format("{:032}-path", i)).value());
  return paths;
}

std::vector<std::string> names(const std::set<StorePath>& paths, std::size_t from, std::size_t to) {
  std::vector<std::string> list;
  for (const auto& path : paths) list.push_back(path.base());
  return {list.begin() + static_cast<std::ptrdiff_t>(from),
          list.begin() + static_cast<std::ptrdiff_t>(to)};
}

}  // namespace

TEST_CASE("a grant is not made twice because airlock-fs was lost in the middle") {
  ControlChannel control;
  std::optional<Connected> first(std::in_place, control);
  control.add(7);
  const auto paths = many_paths();
  auto granted = start([&] { return control.grant(7, paths); });
  const auto request = first->next();
  CHECK(request.strings == names(paths, 0, 32));
  CHECK(first->next().strings == names(paths, 32, 64));
  CHECK(first->silent());
  first->succeed(request);
  CHECK(first->next().strings == names(paths, 64, 80));
  first.reset();
  Connected second(control);
  auto resumed = start([&] { return control.resume(7, {}, {}); });
  second.succeed(second.next());
  CHECK(resumed.get());
  for (const std::size_t from : {32U, 64U}) {
    const auto again = second.next();
    CHECK(again.type == MessageType::grant);
    CHECK(again.strings == names(paths, from, std::min<std::size_t>(from + 32, 80)));
    second.succeed(again);
  }
  CHECK(granted.get());
  CHECK(second.silent());
}

TEST_CASE("a grant that is refused is not asked again") {
  ControlChannel control;
  Connected first(control);
  control.add(7);
  auto granted = start([&] { return control.grant(7, many_paths()); });
  const auto request = first.next();
  const auto after = first.next();
  REQUIRE(first.filesystem->send({MessageType::failed, 7, request.request, {"no"}}));
  first.succeed(after);
  const auto result = granted.get();
  REQUIRE_FALSE(result);
  CHECK(result.error() == "no");
  CHECK(first.silent());
}

TEST_CASE("nobody waits for a session that did not come back") {
  ControlChannel control;
  std::optional<Connected> first(std::in_place, control);
  control.add(7);
  first.reset();
  auto verified = start([&] { return control.verify(7, 0); });
  control.remove(7);
  CHECK_FALSE(verified.get());
}

TEST_CASE("nobody waits longer for airlock-fs than they have patience, or when told not to") {
  ControlChannel control(std::chrono::milliseconds(50));
  std::optional<Connected> first(std::in_place, control);
  control.add(7);
  first.reset();
  const auto late = control.verify(7, 0);
  REQUIRE_FALSE(late);
  CHECK(late.error() == "airlock-fs did not come back in time");
  ControlChannel stopped;
  first.emplace(stopped);
  stopped.add(7);
  first.reset();
  stopped.give_up();
  CHECK_FALSE(stopped.verify(7, 0));
}

TEST_CASE("a session is not made ready on another connection than it was announced on") {
  ControlChannel control;
  std::optional<Connected> first(std::in_place, control);
  control.add(7);
  first.reset();
  Connected second(control);
  control.ready(7, {});
  CHECK(second.silent());
}

}  // namespace airlock
