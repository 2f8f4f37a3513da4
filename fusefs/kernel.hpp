#pragma once

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>

#include <compare>
#include <cstdint>
#include <optional>
#include <string>

#include "fusefs/boundary/fd.hpp"

namespace airlock::fusefs {

/// Which file something is, whatever it is called. Only means anything while the file is held.
struct FileIdentity {
  std::uint64_t device = 0;
  std::uint64_t inode = 0;

  auto operator<=>(const FileIdentity&) const = default;
};

/// Never asks the file's filesystem: a sandbox may have mounted one of its own that never answers.
[[nodiscard]] std::optional<FileIdentity> identity_of(int fd);
/// The same of what has that name in the folder, of a symlink itself.
[[nodiscard]] std::optional<FileIdentity> identity_at(int folder, const std::string& name);
/// What was asked for with STATX_INO.
[[nodiscard]] FileIdentity identity_in(const struct statx& attributes);

/// How every name is walked that somebody else may have put something in the way of.
inline constexpr std::uint64_t strict_walk =
    RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_XDEV;

/// openat2(2), close-on-exec. Not open on failure, with errno set.
[[nodiscard]] Fd open_beneath(int folder, const std::string& path, int flags,
                              std::uint64_t resolve = strict_walk);

/// "cannot do something: No such file or directory", from errno.
[[nodiscard]] std::string failure(const std::string& what);

}  // namespace airlock::fusefs
