#include "daemon/wire/unix_socket.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <cerrno>
#include <cstring>

namespace airlock::wire {

namespace {

constexpr int backlog = 128;

/// An address, and the folder that it goes by while it is used.
struct Address {
  sockaddr_un name{};
  Fd folder;
  [[nodiscard]] const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&name); }
};

tl::unexpected<std::string> failed(const std::string& what, const std::string& path) {
  return tl::unexpected(fmt::format("cannot {} {}: {}", what, path, std::strerror(errno)));
}

tl::expected<Address, std::string> address_of(const std::string& path) {
  Address address;
  address.name.sun_family = AF_UNIX;
  auto name = path;
  if (name.size() >= sizeof address.name.sun_path) {
    const auto slash = path.rfind('/');
    const auto folder = slash == std::string::npos ? "." : path.substr(0, slash + 1);
    address.folder = Fd(::open(folder.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
    if (!address.folder) return failed("open the folder of", path);
    name = fmt::format("/proc/self/fd/{}/{}", address.folder.get(),
                       path.substr(slash == std::string::npos ? 0 : slash + 1));
  }
  if (name.size() >= sizeof address.name.sun_path)
    return tl::unexpected(fmt::format("the name of the socket {} is too long", path));
  std::memcpy(address.name.sun_path, name.c_str(), name.size() + 1);
  return address;
}

}  // namespace

tl::expected<Fd, std::string> connect_unix(const std::string& path) {
  const auto address = address_of(path);
  if (!address) return tl::unexpected(address.error());
  Fd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!socket) return failed("make a socket for", path);
  int result = 0;
  do {
    result = ::connect(socket.get(), address->get(), sizeof address->name);
  } while (result != 0 && errno == EINTR);
  if (result != 0) return failed("connect to", path);
  return socket;
}

tl::expected<Fd, std::string> listen_unix(const std::string& path, mode_t mode) {
  if (connect_unix(path))
    return tl::unexpected(fmt::format("somebody listens at {} already", path));
  struct stat status {};
  if (::lstat(path.c_str(), &status) == 0 && !S_ISSOCK(status.st_mode))
    return tl::unexpected(fmt::format("{} is there and is no socket: remove it", path));
  ::unlink(path.c_str());
  const auto address = address_of(path);
  if (!address) return tl::unexpected(address.error());
  Fd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!socket) return failed("make a socket for", path);
  // Nobody gets in between bind and chmod: it does not listen yet.
  if (::bind(socket.get(), address->get(), sizeof address->name) != 0 ||
      ::chmod(path.c_str(), mode) != 0 || ::listen(socket.get(), backlog) != 0)
    return failed("listen at", path);
  return socket;
}

}  // namespace airlock::wire
