#include "fusefs/view/socket_stock.hpp"

#include <linux/mount.h>
#include <spdlog/spdlog.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstring>
#include <stdexcept>
#include <utility>

#include "fusefs/kernel.hpp"

namespace airlock::fusefs {
namespace {

/// Each is a descriptor and some KB of the kernel's.
constexpr std::size_t lot = 64;
constexpr int listen_backlog = 128;

}  // namespace

SocketStock::SocketStock(Tree& tree, Fd mount, DropCached drop_cached)
    : tree_(tree),
      mount_(std::move(mount)),
      folder_(
          ::openat(mount_.get(), tree.socket_nursery().c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC)),
      drop_cached_(std::move(drop_cached)) {
  if (!folder_) throw std::runtime_error(failure("open where the view's sockets are bound"));
  if (auto filled = fill(); !filled) throw std::runtime_error(filled.error());
}

tl::expected<BoundSocket, std::string> SocketStock::take() {
  if (sockets_.empty()) {
    const auto filled = fill();
    if (!filled && sockets_.empty()) return tl::unexpected(filled.error());
  }
  auto taken = std::move(sockets_.back());
  sockets_.pop_back();
  return taken;
}

void SocketStock::refill() {
  if (sockets_.size() > lot / 2) return;
  if (const auto filled = fill(); !filled) spdlog::warn("{}", filled.error());
}

void SocketStock::drop_unused() {
  if (!reconfigure(is_read_only_ ? "ro" : "rw"))
    spdlog::warn("{}", failure("take what is not in use from the kernel's caches"));
}

tl::expected<void, std::string> SocketStock::fill() {
  if (is_read_only_ && !reconfigure("rw")) {
    return tl::unexpected(failure("make the view's superblock writable to bind sockets"));
  }
  is_read_only_ = false;
  tl::expected<void, std::string> result;
  while (result && sockets_.size() < lot) {
    auto bound = bind_one();
    if (bound)
      sockets_.push_back(std::move(*bound));
    else
      result = tl::unexpected(bound.error());
  }
  make_superblock_read_only();
  return result;
}

tl::expected<BoundSocket, std::string> SocketStock::bind_one() {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  // By descriptor, since it has to be short. Clients can ask for it: it is the same for all.
  const auto path = "/proc/self/fd/" + std::to_string(folder_.get()) + "/" +
                    std::string(SessionTree::socket_name);
  std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
  BoundSocket made{Fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0))};
  if (!made.listening ||
      ::bind(made.listening.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) !=
          0 ||
      ::listen(made.listening.get(), listen_backlog) != 0) {
    return tl::unexpected(failure("bind a session's socket"));
  }
  const auto place = tree_.take_bound();
  made.node = place.node;
  // The name is free for the next one, and the node goes when the socket does.
  drop_cached_(place.folder, std::string(SessionTree::socket_name));
  return made;
}

void SocketStock::make_superblock_read_only() {
  is_read_only_ = reconfigure("ro");
  if (is_read_only_ || std::exchange(has_warned_, true)) return;
  spdlog::warn("{}: builds look at files of the view more slowly",
               failure("make the view's superblock read-only"));
}

bool SocketStock::reconfigure(const char* flag) const {
  const Fd context(static_cast<int>(
      ::syscall(SYS_fspick, mount_.get(), "", FSPICK_EMPTY_PATH | FSPICK_CLOEXEC)));
  return context &&
         ::syscall(SYS_fsconfig, context.get(), FSCONFIG_SET_FLAG, flag, nullptr, 0) == 0 &&
         ::syscall(SYS_fsconfig, context.get(), FSCONFIG_CMD_RECONFIGURE, nullptr, nullptr, 0) == 0;
}

}  // namespace airlock::fusefs
