#include "daemon/settle/roots.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <memory>
#include <system_error>
#include <thread>

namespace airlock {

namespace {

constexpr std::chrono::milliseconds lock_poll{10};

[[noreturn]] void fail(const std::string& what) {
  throw std::system_error(errno, std::generic_category(), what);
}

struct CloseFolder {
  void operator()(DIR* folder) const { ::closedir(folder); }
};

}  // namespace

FolderLock lock_folder(int parent, const std::string& name, std::chrono::milliseconds patience,
                       Fd& folder) {
  const auto end = std::chrono::steady_clock::now() + patience;
  for (;;) {
    folder = Fd{::openat(parent, name.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW)};
    if (!folder && errno == ENOENT) return FolderLock::absent;
    if (!folder) fail("cannot open the roots of " + name);
    if (::flock(folder.get(), LOCK_EX | LOCK_NB) == 0) {
      // Whoever held it may have removed it.
      struct stat status {};
      if (::fstat(folder.get(), &status) == 0 && status.st_nlink > 0) return FolderLock::locked;
      continue;
    }
    if (errno != EWOULDBLOCK) fail("cannot lock the roots of " + name);
    if (std::chrono::steady_clock::now() >= end) return FolderLock::in_use;
    std::this_thread::sleep_for(lock_poll);
  }
}

std::vector<std::string> entries_of(int folder) {
  const int own = ::openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  const std::unique_ptr<DIR, CloseFolder> opened{own < 0 ? nullptr : ::fdopendir(own)};
  if (!opened) fail("cannot read a folder of roots");
  std::vector<std::string> names;
  for (;;) {
    errno = 0;
    const dirent* entry = ::readdir(opened.get());  // NOLINT(concurrency-mt-unsafe)
    if (entry == nullptr && errno != 0) fail("cannot read a folder of roots");
    if (entry == nullptr) break;
    const std::string name = entry->d_name;
    if (name != "." && name != "..") names.push_back(name);
  }
  std::ranges::sort(names);
  return names;
}

void remove_folder(int parent, const std::string& name, int folder) {
  for (const std::string& entry : entries_of(folder))
    if (::unlinkat(folder, entry.c_str(), 0) != 0 && errno != ENOENT)
      fail("cannot remove a root of " + name);
  if (::unlinkat(parent, name.c_str(), AT_REMOVEDIR) != 0 && errno != ENOENT)
    fail("cannot remove the roots of " + name);
}

}  // namespace airlock
