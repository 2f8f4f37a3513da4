#include "fusefs/boundary/channel.hpp"

#include <sys/socket.h>
#include <sys/un.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <memory>

namespace airlock::boundary {
namespace {

/// Room for more descriptors than are allowed, so that a second one is seen and closed rather than
/// cut off by the kernel.
constexpr std::size_t descriptor_room = 4;

std::vector<Fd> take_descriptors(msghdr& header) {
  std::vector<Fd> taken;
  for (cmsghdr* control = CMSG_FIRSTHDR(&header); control != nullptr;
       control = CMSG_NXTHDR(&header, control)) {
    if (control->cmsg_level != SOL_SOCKET || control->cmsg_type != SCM_RIGHTS) continue;
    const std::size_t fds = (control->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (std::size_t i = 0; i < fds; ++i) {
      int fd = -1;
      std::memcpy(&fd, CMSG_DATA(control) + i * sizeof(int), sizeof fd);
      taken.emplace_back(fd);
    }
  }
  return taken;
}

}  // namespace

tl::expected<Channel, std::string> Channel::connect(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) {
    return tl::unexpected("the socket's name " + path + " is too long");
  }
  std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
  Fd socket(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
  if (!socket) {
    return tl::unexpected(std::string("cannot make a socket: ") + std::strerror(errno));
  }
  int result = 0;
  do {
    result = ::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address);
  } while (result < 0 && errno == EINTR);
  if (result < 0) {
    return tl::unexpected("cannot connect to " + path + ": " + std::strerror(errno));
  }
  return Channel(std::move(socket));
}

bool Channel::send(const Message& message, int descriptor) {
  std::string packet = encode(message);
  iovec bytes{packet.data(), packet.size()};
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int))> control{};
  msghdr header{};
  header.msg_iov = &bytes;
  header.msg_iovlen = 1;
  if (descriptor >= 0) {
    header.msg_control = control.data();
    header.msg_controllen = control.size();
    cmsghdr* rights = CMSG_FIRSTHDR(&header);
    rights->cmsg_level = SOL_SOCKET;
    rights->cmsg_type = SCM_RIGHTS;
    rights->cmsg_len = CMSG_LEN(sizeof(int));
    std::memcpy(CMSG_DATA(rights), &descriptor, sizeof descriptor);
  }
  ssize_t sent = 0;
  do {
    sent = ::sendmsg(socket_.get(), &header, MSG_NOSIGNAL);
  } while (sent < 0 && errno == EINTR);
  return sent == static_cast<ssize_t>(packet.size());
}

tl::expected<Received, std::string> Channel::receive() {
  // A longer packet is recognised by MSG_TRUNC. Most are short, so the room is not cleared.
  const auto packet = std::make_unique_for_overwrite<char[]>(max_packet);
  iovec bytes{packet.get(), max_packet};
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int) * descriptor_room)> control{};
  msghdr header{};
  header.msg_iov = &bytes;
  header.msg_iovlen = 1;
  header.msg_control = control.data();
  header.msg_controllen = control.size();
  ssize_t size = 0;
  do {
    size = ::recvmsg(socket_.get(), &header, MSG_CMSG_CLOEXEC);
  } while (size < 0 && errno == EINTR);
  if (size < 0) {
    if (errno == ECONNRESET) return tl::unexpected(std::string());
    return tl::unexpected(std::string("cannot receive: ") + std::strerror(errno));
  }
  refused_ = take_descriptors(header);
  // A packet of no bytes is no message, so nothing is lost by taking it for the end.
  if (size == 0) return tl::unexpected(std::string());
  if ((header.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) != 0 || refused_.size() > 1) {
    return tl::unexpected(std::string("a packet is too long or carries too many descriptors"));
  }
  auto message = decode({packet.get(), static_cast<std::size_t>(size)});
  if (!message) return tl::unexpected(message.error());
  Received received{std::move(*message), Fd()};
  if (!refused_.empty()) received.descriptor = std::move(refused_.front());
  refused_.clear();
  return received;
}

}  // namespace airlock::boundary
