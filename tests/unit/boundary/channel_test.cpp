#include "fusefs/boundary/channel.hpp"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <array>
#include <catch2/catch.hpp>
#include <cstring>
#include <optional>
#include <utility>

using airlock::Fd;
using airlock::boundary::Channel;
using airlock::boundary::Message;
using airlock::boundary::MessageType;

namespace {

std::pair<Fd, Fd> socket_pair() {
  std::array<int, 2> ends{};
  REQUIRE(::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends.data()) == 0);
  return {Fd(ends[0]), Fd(ends[1])};
}

bool same_file(int left, int right) {
  struct stat a {};
  struct stat b {};
  return ::fstat(left, &a) == 0 && ::fstat(right, &b) == 0 && a.st_dev == b.st_dev &&
         a.st_ino == b.st_ino;
}

}  // namespace

TEST_CASE("a message arrives with its descriptor") {
  auto [left, right] = socket_pair();
  Channel sender(std::move(left));
  Channel receiver(std::move(right));
  const Fd file(::open("/", O_PATH | O_CLOEXEC));
  const Message message{MessageType::announce, 0, 0, {"x.drv"}};
  REQUIRE(sender.send(message, file.get()));
  const auto received = receiver.receive();
  REQUIRE(received);
  CHECK(received->message == message);
  REQUIRE(received->descriptor);
  CHECK(same_file(received->descriptor.get(), file.get()));
  CHECK((::fcntl(received->descriptor.get(), F_GETFD) & FD_CLOEXEC) != 0);
}

TEST_CASE("messages keep their borders") {
  auto [left, right] = socket_pair();
  Channel sender(std::move(left));
  Channel receiver(std::move(right));
  REQUIRE(sender.send({MessageType::session_ended, 1, 0, {}}));
  REQUIRE(sender.send({MessageType::session_closed, 1, 0, {}}));
  CHECK(receiver.receive()->message.type == MessageType::session_ended);
  const auto second = receiver.receive();
  CHECK(second->message.type == MessageType::session_closed);
  CHECK_FALSE(second->descriptor);
}

TEST_CASE("a peer that is gone is an empty error, and no signal") {
  auto [left, right] = socket_pair();
  Channel channel(std::move(left));
  right.reset();
  CHECK_FALSE(channel.send({MessageType::done, 0, 0, {}}));
  const auto received = channel.receive();
  REQUIRE_FALSE(received);
  CHECK(received.error().empty());
}

TEST_CASE("a packet that is no message is an error with a sentence") {
  auto [left, right] = socket_pair();
  Channel channel(std::move(left));
  REQUIRE(::send(right.get(), "rubbish", 7, 0) == 7);
  const auto received = channel.receive();
  REQUIRE_FALSE(received);
  CHECK_FALSE(received.error().empty());
}

TEST_CASE("a second descriptor is an error, and none is leaked") {
  auto [left, right] = socket_pair();
  std::optional<Channel> channel(std::move(left));
  std::string packet = encode(Message{MessageType::announce, 0, 0, {"x.drv"}});
  iovec bytes{packet.data(), packet.size()};
  alignas(cmsghdr) std::array<char, CMSG_SPACE(2 * sizeof(int))> control{};
  msghdr header{};
  header.msg_iov = &bytes;
  header.msg_iovlen = 1;
  header.msg_control = control.data();
  header.msg_controllen = control.size();
  cmsghdr* rights = CMSG_FIRSTHDR(&header);
  rights->cmsg_level = SOL_SOCKET;
  rights->cmsg_type = SCM_RIGHTS;
  rights->cmsg_len = CMSG_LEN(2 * sizeof(int));
  const std::array<int, 2> fds{0, 1};
  std::memcpy(CMSG_DATA(rights), fds.data(), sizeof fds);
  const Fd before(::dup(0));
  REQUIRE(::sendmsg(right.get(), &header, 0) > 0);
  CHECK_FALSE(channel->receive());
  // They are closed with it, by whoever can afford to wait for that.
  const int own = channel->fd();
  channel.reset();
  const Fd reused(::dup(0));
  CHECK(reused.get() == own);
  const Fd after(::dup(0));
  CHECK(after.get() == before.get() + 1);
}

TEST_CASE("a socket that is not there is named") {
  const auto channel = Channel::connect("/nonexistent/socket");
  REQUIRE_FALSE(channel);
  CHECK(channel.error().find("/nonexistent/socket") != std::string::npos);
  CHECK_FALSE(Channel::connect(std::string(200, 'x')));
}
