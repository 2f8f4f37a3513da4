#include "fusefs/chroot_folder.hpp"

#include <sys/stat.h>

#include <fstream>
#include <sstream>

namespace airlock::fusefs {
namespace {

/// Which of the mounts in /proc/PID/mountinfo a file is on.
std::optional<std::uint64_t> mount_of(int fd) {
  struct statx attributes {};
  constexpr int flags = AT_EMPTY_PATH | AT_STATX_DONT_SYNC | AT_NO_AUTOMOUNT;
  if (::statx(fd, "", flags, STATX_MNT_ID, &attributes) != 0) return std::nullopt;
  if ((attributes.stx_mask & STATX_MNT_ID) == 0) return std::nullopt;
  return attributes.stx_mnt_id;
}

/// "<id> <parent> <device> <root> …"
std::optional<std::string> root_in_line(const std::string& line, std::uint64_t mount) {
  std::istringstream words(line);
  std::uint64_t id = 0;
  std::uint64_t parent = 0;
  std::string device;
  std::string root;
  if (!(words >> id >> parent >> device >> root) || id != mount) return std::nullopt;
  return root;
}

/// Where on its filesystem the process's root is, if that is a mount of its own.
std::optional<std::string> path_of_root(const FirstProcess& first) {
  const auto process = "/proc/" + std::to_string(first.stamp.pid);
  const Fd root(::open((process + "/root").c_str(), O_PATH | O_CLOEXEC));
  const auto mount = root ? mount_of(root.get()) : std::nullopt;
  if (!mount) return std::nullopt;
  // Line by line: a sandbox has a mount for each of its inputs.
  std::ifstream mounts(process + "/mountinfo");
  for (std::string line; std::getline(mounts, line);) {
    if (auto path = root_in_line(line, *mount)) return path;
  }
  return std::nullopt;
}

}  // namespace

Fd open_chroot_folder(int store, const StorePath& derivation, FileIdentity expected) {
  const auto outer = derivation.base() + ".chroot";
  for (const auto& name : {outer + "/root", outer}) {
    Fd folder = open_beneath(store, name, O_PATH | O_DIRECTORY | O_NOFOLLOW);
    if (folder && identity_of(folder.get()) == expected) return folder;
  }
  return {};
}

std::optional<StorePath> derivation_in_root(std::string_view path) {
  constexpr std::string_view inner = "/root";
  constexpr std::string_view suffix = ".chroot";
  if (path.ends_with(inner)) path.remove_suffix(inner.size());
  if (!path.ends_with(suffix)) return std::nullopt;
  path.remove_suffix(suffix.size());
  const auto parsed = StorePath::parse(path.substr(path.rfind('/') + 1));
  if (!parsed || !parsed->is_derivation()) return std::nullopt;
  return *parsed;
}

std::optional<ChrootFolder> find_chroot_folder(int store, const FirstProcess& first) {
  const auto path = path_of_root(first);
  auto derivation = path ? derivation_in_root(*path) : std::nullopt;
  if (!derivation) return std::nullopt;
  Fd folder = open_chroot_folder(store, *derivation, first.root);
  if (!folder || !is_alive(first.process.get())) return std::nullopt;
  return ChrootFolder{std::move(*derivation), std::move(folder)};
}

bool still_exists(int folder) {
  struct stat attributes {};
  return ::fstat(folder, &attributes) == 0 && attributes.st_nlink > 0;
}

}  // namespace airlock::fusefs
