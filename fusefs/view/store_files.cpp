#include "fusefs/view/store_files.hpp"

#include <dirent.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>
#include <memory>
#include <optional>

#include "fusefs/kernel.hpp"

namespace airlock::fusefs {
namespace {

tl::unexpected<std::errc> failed() {
  // What the walk refuses is not there, as far as anybody in a sandbox is to know.
  const bool refused = errno == ELOOP || errno == EXDEV || errno == EACCES;
  return tl::unexpected(refused ? std::errc::no_such_file_or_directory
                                : static_cast<std::errc>(errno));
}

std::optional<StoreFile> describe(const struct stat& attributes) {
  const auto size = static_cast<std::uint64_t>(attributes.st_size);
  if (S_ISDIR(attributes.st_mode)) return StoreFile{StoreFile::Kind::folder, 0};
  if (S_ISLNK(attributes.st_mode)) return StoreFile{StoreFile::Kind::link, size};
  if (!S_ISREG(attributes.st_mode)) return std::nullopt;
  const bool runs = (attributes.st_mode & S_IXUSR) != 0;
  return StoreFile{runs ? StoreFile::Kind::executable : StoreFile::Kind::file, size};
}

/// Nix takes every permission to write away before it registers a path.
bool is_finished(const struct stat& attributes) {
  return S_ISLNK(attributes.st_mode) || (attributes.st_mode & (S_IWUSR | S_IWGRP | S_IWOTH)) == 0;
}

}  // namespace

StoreFiles::Result<StoreFile> StoreFiles::look(const std::string& path) const {
  const Fd file = open_beneath(store_, path, O_PATH | O_NOFOLLOW);
  struct stat attributes {};
  if (!file || ::fstat(file.get(), &attributes) != 0) return failed();
  const auto described = describe(attributes);
  if (!described || !is_finished(attributes)) {
    return tl::unexpected(std::errc::no_such_file_or_directory);
  }
  return *described;
}

std::uint64_t StoreFiles::birth(const std::string& base) const {
  struct statx found {};
  constexpr int flags = AT_SYMLINK_NOFOLLOW | AT_STATX_DONT_SYNC | AT_NO_AUTOMOUNT;
  if (::statx(store_, base.c_str(), flags, STATX_INO | STATX_BTIME, &found) != 0) return 0;
  constexpr std::uint64_t odd = 0x9e3779b97f4a7c15;
  const auto seconds = static_cast<std::uint64_t>(found.stx_btime.tv_sec);
  return (found.stx_ino * odd + seconds) * odd + found.stx_btime.tv_nsec;
}

StoreFiles::Result<std::string> StoreFiles::link_target(const std::string& path) const {
  const Fd link = open_beneath(store_, path, O_PATH | O_NOFOLLOW);
  if (!link) return failed();
  std::array<char, PATH_MAX> target{};
  const auto size = ::readlinkat(link.get(), "", target.data(), target.size());
  if (size < 0) return failed();
  return std::string(target.data(), static_cast<std::size_t>(size));
}

StoreFiles::Result<std::string> StoreFiles::read(const std::string& path, std::size_t size,
                                                 std::uint64_t offset) const {
  // O_NONBLOCK: were it a fifo after all, opening it must not wait.
  const Fd file = open_beneath(store_, path, O_RDONLY | O_NOFOLLOW | O_NOCTTY | O_NONBLOCK);
  struct stat attributes {};
  if (!file || ::fstat(file.get(), &attributes) != 0) return failed();
  if (!S_ISREG(attributes.st_mode)) return tl::unexpected(std::errc::invalid_argument);
  const auto length = static_cast<std::uint64_t>(attributes.st_size);
  std::string bytes(
      static_cast<std::size_t>(std::min<std::uint64_t>(size, length - std::min(offset, length))),
      '\0');
  std::size_t filled = 0;
  while (filled < bytes.size()) {
    const auto got = ::pread(file.get(), bytes.data() + filled, bytes.size() - filled,
                             static_cast<off_t>(offset + filled));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return failed();
    if (got == 0) break;
    filled += static_cast<std::size_t>(got);
  }
  bytes.resize(filled);
  return bytes;
}

StoreFiles::Result<std::vector<ListedFile>> StoreFiles::list(const std::string& path) const {
  Fd folder = open_beneath(store_, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
  if (!folder) return failed();
  const std::unique_ptr<DIR, int (*)(DIR*)> stream(::fdopendir(folder.get()), ::closedir);
  if (!stream) return failed();
  const int fd = folder.release();  // the stream's by now
  std::vector<ListedFile> files;
  while (const dirent* entry = ::readdir(stream.get())) {
    const std::string_view name = entry->d_name;
    if (name == "." || name == "..") continue;
    struct stat attributes {};
    // Not d_type: some filesystems do not tell, and it does not say what is executable.
    if (::fstatat(fd, entry->d_name, &attributes, AT_SYMLINK_NOFOLLOW) != 0) continue;
    const auto described = describe(attributes);
    if (described && is_finished(attributes)) files.push_back({entry->d_name, *described});
  }
  std::sort(files.begin(), files.end(),
            [](const auto& left, const auto& right) { return left.name < right.name; });
  return files;
}

}  // namespace airlock::fusefs
