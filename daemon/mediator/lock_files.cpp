#include "daemon/mediator/lock_files.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/openat2.h>
#include <spdlog/spdlog.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <optional>

#include "daemon/core/plain_line.hpp"
#include "daemon/core/quote.hpp"
#include "fusefs/boundary/fd.hpp"

namespace airlock {

namespace {

constexpr std::array<const char*, 3> usual_names{"flake.lock", "npins/sources.json",
                                                 "nix/sources.json"};
constexpr std::size_t most_files = 256;

/// A file below a store path, or the store path itself where `below` is empty; symlinks may not
/// lead out of the store path. errno says why there is none.
Fd open_in(const StoreLayout& layout, const StorePath& path, const std::string& below) {
  constexpr int flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY;
  const auto printed = layout.print(path);
  if (below.empty()) return Fd(::open(printed.c_str(), flags | O_NOFOLLOW));
  const Fd top(::open(printed.c_str(), O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!top) return {};
  open_how how{};
  how.flags = flags;
  how.resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_XDEV;
  return Fd(static_cast<int>(::syscall(SYS_openat2, top.get(), below.c_str(), &how, sizeof how)));
}

tl::expected<std::string, std::string> read_bounded(const Fd& file, const std::string& name) {
  struct stat status {};
  if (::fstat(file.get(), &status) != 0 || !S_ISREG(status.st_mode))
    return tl::unexpected(fmt::format("{} is no regular file", name));
  if (status.st_size < 0 || static_cast<std::uint64_t>(status.st_size) > fetch::largest_lock_file)
    return tl::unexpected(fmt::format("{} is larger than a lock file may be: {} bytes", name,
                                      fetch::largest_lock_file));
  std::string text(static_cast<std::size_t>(status.st_size), '\0');
  std::size_t done = 0;
  while (done < text.size()) {
    const auto n = ::read(file.get(), text.data() + done, text.size() - done);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return tl::unexpected(fmt::format("cannot read {}", name));
    done += static_cast<std::size_t>(n);
  }
  return text;
}

class Gathering {
 public:
  explicit Gathering(const StoreLayout& layout) : layout_(layout) {}

  tl::expected<void, std::string> add(const Fd& file, const std::string& name) {
    const auto text = read_bounded(file, name);
    if (!text) return tl::unexpected(text.error());
    auto found = fetch::parse_locks(layout_, *text, name);
    if (!found) return tl::unexpected(found.error());
    if (++files_ > most_files || locks_.size() + found->size() > fetch::most_locks)
      return tl::unexpected(fmt::format("{}: with it there are more than {} lock files or {} locks",
                                        name, most_files, fetch::most_locks));
    for (auto& lock : *found) locks_.try_emplace(lock.path, lock);
    return {};
  }
  [[nodiscard]] fetch::Locks take() { return std::move(locks_); }

 private:
  const StoreLayout& layout_;
  std::size_t files_ = 0;
  fetch::Locks locks_;
};

/// "<store path>" or "<store path>/<file below it>".
tl::expected<void, std::string> add_named(Gathering& gathering, const std::string& name,
                                          const StoreLayout& layout,
                                          const std::set<StorePath>& closure) {
  const auto prefix = layout.store_dir.size() + 1;
  const auto slash = name.size() > prefix ? name.find('/', prefix) : std::string::npos;
  const auto path = layout.parse(name.substr(0, slash));
  if (!path) return tl::unexpected(fmt::format("airlockLocks: {}", path.error()));
  if (!closure.contains(*path))
    return tl::unexpected(
        fmt::format("airlockLocks: {} is not in the closure of the derivation's inputs; "
                    "interpolate it (\"${{./locks.json}}\") so that it becomes one",
                    layout.print(*path)));
  const auto below = slash == std::string::npos ? std::string() : name.substr(slash + 1);
  const auto file = open_in(layout, *path, below);
  if (!file)
    return tl::unexpected(
        fmt::format("airlockLocks: cannot open {}: {}", quote(name), std::strerror(errno)));
  auto added = gathering.add(file, one_plain_line(name));
  if (!added) return tl::unexpected(fmt::format("airlockLocks: {}", added.error()));
  return added;
}

}  // namespace

tl::expected<fetch::Locks, std::string> locks_of(const Derivation& derivation,
                                                 const StoreLayout& layout,
                                                 const std::set<StorePath>& closure) {
  Gathering gathering(layout);
  // First what was named on purpose: of two locks for one path the first counts.
  if (const auto named = derivation.list("airlockLocks"))
    for (const auto& name : *named)
      if (auto added = add_named(gathering, name, layout, closure); !added)
        return tl::unexpected(added.error());
  for (const auto& path : derivation.input_sources)
    for (const auto* usual : usual_names) {
      const auto file = open_in(layout, path, usual);
      if (!file) continue;
      const auto added = gathering.add(file, layout.print(path) + "/" + usual);
      if (!added) spdlog::warn("passed over as a lock file: {}", added.error());
    }
  return gathering.take();
}

}  // namespace airlock
