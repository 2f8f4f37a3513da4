#include "daemon/settle/debt_folder.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <system_error>

#include "daemon/core/quote.hpp"
#include "daemon/settle/roots.hpp"

namespace airlock {

namespace {

/// The root for the derivation itself, beside those named after what they hold.
constexpr std::string_view derivation_root = "derivation";
/// A symlink to its own number: made at once or not at all, and no root.
constexpr std::string_view mark_name = "mark";

[[noreturn]] void fail(const std::string& what) {
  throw std::system_error(errno, std::generic_category(), what);
}

}  // namespace

std::vector<StorePath> list_debts(const StoreLayout& layout) {
  const Fd all{::open(layout.debts().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW)};
  std::vector<StorePath> debts;
  if (!all) return debts;
  for (const std::string& name : entries_of(all.get())) {
    const auto derivation = StorePath::parse(name);
    if (derivation && derivation->is_derivation()) debts.push_back(*derivation);
  }
  return debts;
}

DebtFolder::DebtFolder(const StoreLayout& layout, const StorePath& derivation)
    : base_(derivation.base()),
      parent_(::open(layout.debts().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW)) {}

FolderLock DebtFolder::lock(std::chrono::milliseconds patience) {
  return parent_ ? lock_folder(parent_.get(), base_, patience, folder_) : FolderLock::absent;
}

std::set<StorePath> DebtFolder::granted() const {
  std::set<StorePath> paths;
  for (const std::string& name : entries_of(folder_.get())) {
    if (name == derivation_root || name == mark_name) continue;
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

void DebtFolder::set_mark(std::int64_t mark) const {
  if (::symlinkat(std::to_string(mark).c_str(), folder_.get(), mark_name.data()) != 0 &&
      errno != EEXIST)
    fail("cannot write among the roots of " + base_);
  if (::fsync(folder_.get()) != 0) fail("cannot write among the roots of " + base_);
}

std::optional<std::int64_t> DebtFolder::mark() const {
  std::array<char, 32> text{};
  const ssize_t length = ::readlinkat(folder_.get(), mark_name.data(), text.data(), text.size());
  std::int64_t mark = 0;
  if (length <= 0 || std::from_chars(text.data(), text.data() + length, mark).ec != std::errc())
    return std::nullopt;
  return mark;
}

void DebtFolder::remove() const {
  remove_folder(parent_.get(), base_, folder_.get());
}

}  // namespace airlock
