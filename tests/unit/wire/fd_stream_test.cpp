#include "daemon/wire/fd_stream.hpp"

#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <catch2/catch.hpp>
#include <chrono>
#include <string>
#include <thread>

#include "fusefs/boundary/fd.hpp"

using namespace airlock;
using namespace airlock::wire;
using std::chrono::milliseconds;

namespace {

constexpr milliseconds none{0};
constexpr milliseconds soon{50};

struct Pair {
  Pair() {
    std::array<int, 2> ends{};
    REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()) == 0);
    ours = Fd(ends[0]);
    theirs = Fd(ends[1]);
  }
  Fd ours, theirs;
};

std::string pattern(std::size_t size) {
  std::string text(size, '\0');
  for (std::size_t i = 0; i < size; ++i) text[i] = static_cast<char>(i * 2654435761u >> 13);
  return text;
}

// Catch2's assertions are for one thread: what happens on another is looked at when it is joined.
template <class Action>
std::string fault_of(const Action& action) {
  try {
    action();
  } catch (const ConnectionOver& over) {
    return over.what();
  }
  return "none";
}

std::string read(FdSource& source, std::size_t size) {
  std::string text(size, '\0');
  source.read(text);
  return text;
}

}  // namespace

TEST_CASE("what is written arrives, in whatever pieces it is read") {
  Pair pair;
  const auto sent = pattern(3 << 20);
  std::thread writer([&] {
    FdSink sink(pair.theirs.get(), none);
    std::string_view rest = sent;
    for (std::size_t piece = 1; !rest.empty(); piece = piece * 3 % 200'000 + 1) {
      sink.write(rest.substr(0, piece));
      rest.remove_prefix(std::min(piece, rest.size()));
    }
    sink.flush();
  });
  FdSource source(pair.ours.get(), none);
  std::string received;
  for (std::size_t piece = 7; received.size() < sent.size(); piece = piece * 5 % 150'000 + 1)
    received += read(source, std::min(piece, sent.size() - received.size()));
  writer.join();
  CHECK((received == sent));
  CHECK_FALSE(source.has_buffered());
}

TEST_CASE("the end between messages and in the middle of one are told apart") {
  for (const std::size_t wanted : {std::size_t{8}, std::size_t{100'000}}) {
    CAPTURE(wanted);
    Pair pair;
    REQUIRE(::write(pair.theirs.get(), "12345678abc", 11) == 11);
    pair.theirs.reset();
    FdSource source(pair.ours.get(), none);
    CHECK(read(source, 8) == "12345678");
    CHECK_THROWS_WITH(read(source, wanted), Catch::Contains("in the middle of a message"));
    CHECK_FALSE(source.closed_between());
    CHECK_THROWS_AS(read(source, wanted), ConnectionOver);
    CHECK(source.closed_between());
  }
}

TEST_CASE("a deadline holds for reading, and can be lifted") {
  Pair pair;
  FdSource source(pair.ours.get(), soon);
  CHECK_THROWS_WITH(read(source, 1), "the peer sent nothing before the deadline");
  CHECK_THROWS_WITH(read(source, 100'000), "the peer sent nothing before the deadline");
  source.set_deadline(none);
  ssize_t written = 0;
  std::thread late([&] {
    std::this_thread::sleep_for(4 * soon);
    written = ::write(pair.theirs.get(), "x", 1);
  });
  CHECK(read(source, 1) == "x");
  late.join();
  CHECK(written == 1);
}

TEST_CASE("a deadline holds for writing") {
  Pair pair;
  FdSink sink(pair.ours.get(), soon);
  CHECK_THROWS_WITH(sink.write(pattern(8 << 20)), "the peer took nothing before the deadline");
}

TEST_CASE("a deadline is for a stand-still, not for the whole") {
  Pair pair;
  const auto sent = pattern(1 << 20);
  std::thread slow([&] {
    std::string piece(64 * 1024, '\0');
    for (std::size_t left = sent.size(); left > 0;) {
      const auto n = ::read(pair.theirs.get(), piece.data(), piece.size());
      if (n <= 0) break;
      left -= static_cast<std::size_t>(n);
      std::this_thread::sleep_for(soon / 2);
    }
  });
  FdSink sink(pair.ours.get(), 10 * soon);
  CHECK_NOTHROW(sink.write(sent));
  slow.join();
}

TEST_CASE("somebody else's shutdown ends the waiting of a reader and of a writer") {
  Pair pair;
  bool closed = false;
  std::string reading, writing;
  std::thread reader([&] {
    FdSource source(pair.ours.get(), none);
    reading = fault_of([&] { (void)read(source, 1); });
    closed = source.closed_between();
  });
  std::thread writer([&] {
    FdSink sink(pair.ours.get(), none);
    writing = fault_of([&] { sink.write(pattern(8 << 20)); });
  });
  std::this_thread::sleep_for(soon);
  ::shutdown(pair.ours.get(), SHUT_RD);  // how a session is stopped: first the reading…
  reader.join();
  ::shutdown(pair.ours.get(), SHUT_RDWR);
  writer.join();
  CHECK(closed);
  CHECK(reading == "the peer closed the connection");
  CHECK(writing == "the peer closed the connection");
}

TEST_CASE("a hang-up of the watched socket ends the waiting for another") {
  Pair pair;
  Pair client;
  FdSource source(pair.ours.get(), none);
  source.watch_hangup_of(client.ours.get());
  std::thread gone([&] {
    std::this_thread::sleep_for(soon);
    client.theirs.reset();
  });
  CHECK_THROWS_AS(read(source, 1), WatchedHungUp);
  gone.join();
}

TEST_CASE("a peer that must be listened to first gets the rest afterwards") {
  Pair pair;
  const auto chatter = pattern(1 << 20);
  const auto sent = pattern(2 << 20);
  std::string arrived;
  std::thread peer([&] {
    FdSink sink(pair.theirs.get(), none);
    sink.write(chatter);
    sink.flush();
    FdSource source(pair.theirs.get(), none);
    arrived = read(source, sent.size());
  });
  FdSource source(pair.ours.get(), none);
  FdSink sink(pair.ours.get(), milliseconds(20'000));
  sink.read_meanwhile(&source);
  sink.write(sent);
  CHECK((read(source, chatter.size()) == chatter));
  peer.join();
  CHECK((arrived == sent));
}
