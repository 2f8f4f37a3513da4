#include "daemon/settle/debt_folder.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <memory>
#include <system_error>
#include <thread>

#include "daemon/core/quote.hpp"

namespace airlock {

namespace {

/// The root for the derivation itself, beside those named after what they hold.
constexpr std::string_view derivation_root = "derivation";
constexpr std::chrono::milliseconds lock_poll{10};

[[noreturn]] void fail(const std::string& what) {
  throw std::system_error(errno, std::generic_category(), what);
}

struct CloseFolder {
  void operator()(DIR* folder) const { ::closedir(folder); }
};

std::vector<std::string> entries(int fd) {
  const int own = ::openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  const std::unique_ptr<DIR, CloseFolder> folder{own < 0 ? nullptr : ::fdopendir(own)};
  if (!folder) fail("cannot read a folder of roots");
  std::vector<std::string> names;
  for (;;) {
    errno = 0;
    const dirent* entry = ::readdir(folder.get());  // NOLINT(concurrency-mt-unsafe)
    if (entry == nullptr && errno != 0) fail("cannot read a folder of roots");
    if (entry == nullptr) break;
    const std::string name = entry->d_name;
    if (name != "." && name != "..") names.push_back(name);
  }
  std::ranges::sort(names);
  return names;
}

}  // namespace

std::vector<StorePath> list_debts(const StoreLayout& layout) {
  const Fd all{::open(layout.debts().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW)};
  std::vector<StorePath> debts;
  if (!all) return debts;
  for (const std::string& name : entries(all.get())) {
    const auto derivation = StorePath::parse(name);
    if (derivation && derivation->is_derivation()) debts.push_back(*derivation);
  }
  return debts;
}

DebtFolder::DebtFolder(const StoreLayout& layout, const StorePath& derivation)
    : base_(derivation.base()),
      parent_(::open(layout.debts().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW)) {}

DebtFolder::State DebtFolder::lock(std::chrono::milliseconds patience) {
  const auto end = std::chrono::steady_clock::now() + patience;
  if (!parent_) return State::absent;
  for (;;) {
    folder_ =
        Fd{::openat(parent_.get(), base_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW)};
    if (!folder_ && errno == ENOENT) return State::absent;
    if (!folder_) fail("cannot open the roots of " + base_);
    if (::flock(folder_.get(), LOCK_EX | LOCK_NB) == 0) {
      // Whoever held it may have removed it.
      struct stat status {};
      if (::fstat(folder_.get(), &status) == 0 && status.st_nlink > 0) return State::locked;
      continue;
    }
    if (errno != EWOULDBLOCK) fail("cannot lock the roots of " + base_);
    if (std::chrono::steady_clock::now() >= end) return State::in_use;
    std::this_thread::sleep_for(lock_poll);
  }
}

std::vector<std::string> DebtFolder::names() const {
  return entries(folder_.get());
}

std::set<StorePath> DebtFolder::granted() const {
  std::set<StorePath> paths;
  for (const std::string& name : names()) {
    if (name == derivation_root) continue;
    auto path = StorePath::parse(name);
    if (!path)
      throw std::runtime_error(
          fmt::format("among the roots of {} lies {}, which airlock did not "
                      "make: remove it",
                      base_, quote(name)));
    paths.insert(*std::move(path));
  }
  return paths;
}

void DebtFolder::remove() const {
  for (const std::string& name : names())
    if (::unlinkat(folder_.get(), name.c_str(), 0) != 0 && errno != ENOENT)
      fail("cannot remove a root of " + base_);
  if (::unlinkat(parent_.get(), base_.c_str(), AT_REMOVEDIR) != 0 && errno != ENOENT)
    fail("cannot remove the roots of " + base_);
}

}  // namespace airlock
