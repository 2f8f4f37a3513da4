#include "fusefs/kernel.hpp"

#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace airlock::fusefs {

FileIdentity identity_in(const struct statx& attributes) {
  const auto device =
      (std::uint64_t{attributes.stx_dev_major} << 32) | std::uint64_t{attributes.stx_dev_minor};
  return {device, attributes.stx_ino};
}

std::optional<FileIdentity> identity_of(int fd) {
  struct statx attributes {};
  constexpr int flags = AT_EMPTY_PATH | AT_STATX_DONT_SYNC | AT_NO_AUTOMOUNT;
  if (::statx(fd, "", flags, STATX_INO, &attributes) != 0) return std::nullopt;
  return identity_in(attributes);
}

std::optional<FileIdentity> identity_at(int folder, const std::string& name) {
  struct statx attributes {};
  constexpr int flags = AT_SYMLINK_NOFOLLOW | AT_STATX_DONT_SYNC | AT_NO_AUTOMOUNT;
  if (::statx(folder, name.c_str(), flags, STATX_INO, &attributes) != 0) return std::nullopt;
  return identity_in(attributes);
}

Fd open_beneath(int folder, const std::string& path, int flags, std::uint64_t resolve) {
  open_how how{};
  how.flags = static_cast<std::uint64_t>(flags | O_CLOEXEC);
  how.resolve = resolve;
  // RESOLVE_BENEATH answers EAGAIN when a rename somewhere on the machine raced with the walk.
  for (int attempt = 0; attempt < 16; ++attempt) {
    const long fd = ::syscall(SYS_openat2, folder, path.c_str(), &how, sizeof how);
    if (fd >= 0) return Fd(static_cast<int>(fd));
    if (errno != EAGAIN && errno != EINTR) break;
  }
  return {};
}

std::string failure(const std::string& what) {
  return "cannot " + what + ": " + std::strerror(errno);
}

}  // namespace airlock::fusefs
