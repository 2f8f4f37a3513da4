#include "daemon/command/filesystem.hpp"

#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <cerrno>
#include <cstring>

namespace airlock::command {

namespace {

using boundary::Channel;
using boundary::Message;

tl::unexpected<NoAnswer> silent(const std::string& path) {
  return tl::make_unexpected(NoAnswer{false, "airlock-fs does not answer on " + path +
                                                 " in time: see its log, and start it again"});
}

/// Channel::connect would wait as long as it takes when the listener's queue is full.
tl::expected<Channel, NoAnswer> connect(const std::string& path,
                                        std::chrono::milliseconds patience) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path)
    return tl::make_unexpected(NoAnswer{false, "the socket's name " + path + " is too long"});
  std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
  Fd socket{::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0)};
  timeval limit{};
  limit.tv_sec = patience.count() / 1000;
  limit.tv_usec = patience.count() % 1000 * 1000;
  ::setsockopt(socket.get(), SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
  if (::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    if (errno == EAGAIN) return silent(path);
    const bool down = errno == ENOENT || errno == ECONNREFUSED;
    return tl::make_unexpected(
        NoAnswer{down, "cannot connect to airlock-fs on " + path + ": " + std::strerror(errno)});
  }
  return Channel(std::move(socket));
}

}  // namespace

tl::expected<Message, NoAnswer> ask_filesystem(const boundary::SocketPaths& sockets,
                                               const Message& question, int descriptor,
                                               std::chrono::milliseconds patience) {
  const auto end = std::chrono::steady_clock::now() + patience;
  const std::string path = sockets.announce();
  auto channel = connect(path, patience);
  if (!channel) return tl::make_unexpected(channel.error());
  const tl::unexpected<NoAnswer> gone(
      NoAnswer{true, "airlock-fs closed the connection without an answer: see its log"});
  if (!channel->send(question, descriptor)) return gone;

  pollfd waiting{channel->fd(), POLLIN, 0};
  int ready = 0;
  do {
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(
        end - std::chrono::steady_clock::now());
    ready = ::poll(&waiting, 1, left.count() > 0 ? static_cast<int>(left.count()) : 0);
  } while (ready < 0 && errno == EINTR);
  if (ready == 0) return silent(path);

  auto answer = channel->receive();
  if (answer) return std::move(answer->message);
  if (answer.error().empty()) return gone;
  return tl::make_unexpected(NoAnswer{false, "airlock-fs answered nonsense: " + answer.error()});
}

}  // namespace airlock::command
