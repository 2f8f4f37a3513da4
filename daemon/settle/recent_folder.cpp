#include "daemon/settle/recent_folder.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cstdio>
#include <system_error>

#include "daemon/core/quote.hpp"

namespace airlock {

namespace {

// Sorts after every name of a root, and so is removed last: while it is there, so are they.
constexpr const char* state_name = "~state";
constexpr const char* new_state_name = "~state.new";
constexpr const char* derivation_root = "derivation";
constexpr std::string_view mark_word = "mark ";
constexpr std::string_view unfinished_word = "unfinished ";
constexpr std::string_view readers_word = "readers ";
constexpr std::chrono::seconds lock_patience{30};
constexpr std::size_t longest_state = 1u << 20;

[[noreturn]] void fail(const std::string& what) {
  throw std::system_error(errno, std::generic_category(), what);
}

Fd open_folder(const std::string& name) {
  return Fd{::open(name.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW)};
}

std::string read_all(int fd) {
  std::string text;
  std::array<char, 4096> buffer{};
  for (;;) {
    const ssize_t got = ::read(fd, buffer.data(), buffer.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0 || text.size() > longest_state) fail("cannot read a record of an amendment");
    if (got == 0) return text;
    text.append(buffer.data(), static_cast<std::size_t>(got));
  }
}

void write_all(int fd, std::string_view text) {
  while (!text.empty()) {
    const ssize_t written = ::write(fd, text.data(), text.size());
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) fail("cannot write a record of an amendment");
    text.remove_prefix(static_cast<std::size_t>(written));
  }
}

}  // namespace

std::string RecentAmendment::print() const {
  return fmt::format("{}{}\nreaders {}\n", unfinished ? unfinished_word : mark_word, mark,
                     readers.print());
}

tl::expected<RecentAmendment, std::string> RecentAmendment::parse(std::string_view text) {
  RecentAmendment amendment;
  const auto line_end = std::min(text.find('\n'), text.size());
  const std::string_view line = text.substr(0, line_end);
  const std::string_view rest = text.substr(std::min(line_end + 1, text.size()));
  amendment.unfinished = line.starts_with(unfinished_word);
  const std::string_view word = amendment.unfinished ? unfinished_word : mark_word;
  const auto number = line.substr(std::min(word.size(), line.size()));
  const auto [end, error] =
      std::from_chars(number.data(), number.data() + number.size(), amendment.mark);
  if (!line.starts_with(word) || error != std::errc() || end != number.data() + number.size() ||
      !rest.starts_with(readers_word) || !rest.ends_with('\n'))
    return tl::make_unexpected("an amendment is not recorded as " + quote(text));
  auto readers =
      Readers::parse(rest.substr(readers_word.size(), rest.size() - readers_word.size() - 1));
  if (!readers) return tl::make_unexpected(readers.error());
  amendment.readers = *std::move(readers);
  return amendment;
}

std::vector<StorePath> list_recent(const StoreLayout& layout) {
  const Fd all = open_folder(layout.recent());
  std::vector<StorePath> derivations;
  if (!all) return derivations;
  for (const std::string& name : entries_of(all.get())) {
    const auto derivation = StorePath::parse(name);
    if (derivation && derivation->is_derivation()) derivations.push_back(*derivation);
  }
  return derivations;
}

RecentFolder::RecentFolder(const StoreLayout& layout, const StorePath& derivation)
    : layout_(layout), derivation_(derivation), parent_(open_folder(layout.recent())) {}

FolderLock RecentFolder::lock(std::chrono::milliseconds patience) {
  if (!parent_) return FolderLock::absent;
  return lock_folder(parent_.get(), derivation_.base(), patience, folder_);
}

void RecentFolder::keep(const RecentAmendment& amendment) {
  RecentAmendment whole = amendment;
  // Whoever removes the last record removes the folder of records too, between any two steps.
  for (int attempt = 0; !folder_; ++attempt) {
    const std::string name = layout_.recent();
    if (::mkdir(name.c_str(), 0755) != 0 && errno != EEXIST) fail("cannot make " + name);
    parent_ = open_folder(name);
    if (parent_ && ::mkdirat(parent_.get(), derivation_.base().c_str(), 0755) != 0 &&
        errno != EEXIST && errno != ENOENT)
      fail(fmt::format("cannot make {}/{}", name, derivation_.base()));
    const FolderLock state = lock(lock_patience);
    if (state == FolderLock::locked) break;
    folder_.reset();
    if (state == FolderLock::in_use || attempt == 5)
      throw std::runtime_error(fmt::format("cannot lock {}/{}", name, derivation_.base()));
  }
  if (complete()) whole.mark = std::min(whole.mark, read().mark);
  const auto link = [&](const std::string& name, const StorePath& path) {
    if (::symlinkat(layout_.print(path).c_str(), folder_.get(), name.c_str()) != 0 &&
        errno != EEXIST)
      fail("cannot make a root for " + path.base());
  };
  link(derivation_root, derivation_);
  for (const StorePath& path : whole.paths) link(path.base(), path);
  write(whole);
}

bool RecentFolder::complete() const {
  return ::faccessat(folder_.get(), state_name, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

RecentAmendment RecentFolder::read() const {
  const Fd file{::openat(folder_.get(), state_name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW)};
  if (!file) fail("cannot open the record of an amendment of " + derivation_.base());
  auto amendment = RecentAmendment::parse(read_all(file.get()));
  if (!amendment) throw std::runtime_error(amendment.error());
  for (const std::string& name : entries_of(folder_.get()))
    if (const auto path = StorePath::parse(name)) amendment->paths.insert(*path);
  return *std::move(amendment);
}

void RecentFolder::write(const RecentAmendment& amendment) const {
  const Fd file{::openat(folder_.get(), new_state_name,
                         O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0644)};
  if (!file) fail("cannot write the record of an amendment of " + derivation_.base());
  write_all(file.get(), amendment.print());
  if (::fsync(file.get()) != 0 ||
      ::renameat(folder_.get(), new_state_name, folder_.get(), state_name) != 0 ||
      ::fsync(folder_.get()) != 0 || ::fsync(parent_.get()) != 0)
    fail("cannot write the record of an amendment of " + derivation_.base());
}

void RecentFolder::remove() {
  remove_folder(parent_.get(), derivation_.base(), folder_.get());
  folder_.reset();
  if (::rmdir(layout_.recent().c_str()) != 0 && errno != ENOTEMPTY && errno != ENOENT &&
      errno != EEXIST)
    fail("cannot remove " + layout_.recent());
}

}  // namespace airlock
