#pragma once

#include <atomic>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "fusefs/kernel.hpp"
#include "fusefs/view/operations.hpp"
#include "fusefs/view/socket_stock.hpp"

namespace airlock::fusefs {

/// The FUSE mount that shows a Tree, and the threads that answer the kernel. While one of these
/// exists the mount point is mounted. The constructor throws std::runtime_error with one sentence.
class Mount {
 public:
  /// Stops the contacts when it ends: what is asked then has nobody to answer it.
  Mount(View view, std::string mount_point);
  ~Mount();
  Mount(const Mount&) = delete;
  Mount& operator=(const Mount&) = delete;

  /// False when somebody else unmounted it.
  [[nodiscard]] bool is_mounted() const;

  /// The device of the mounted filesystem, as in FileIdentity.
  [[nodiscard]] std::uint64_t device() const;

  /// For the thread that made this, which is the tree's binder.
  [[nodiscard]] SocketStock& sockets() { return *sockets_; }

  /// Takes a name off the root from the kernel's caches, and with it all that it remembers below.
  /// Not from a FUSE thread.
  void drop_cached(const std::string& name);

  /// Has the kernel forget what nobody uses when it knows nearly as many nodes as it may: else one
  /// sandbox, by looking at enough files, would leave no room for what others look for. For the
  /// thread that made this, now and then.
  void make_room();

 private:
  void serve();
  void drop_cached_below(NodeId folder, const std::string& name);

  View view_;
  std::string mount_point_;
  std::optional<std::uint64_t> device_;  ///< of the mounted filesystem
  std::optional<SocketStock> sockets_;
  fuse_session* session_ = nullptr;
  std::vector<std::thread> threads_;
  std::atomic<int> serving_{0};
};

/// Unmounts what a predecessor left, now or as soon as its last user is gone.
void unmount_leftovers(const std::string& mount_point);

}  // namespace airlock::fusefs
