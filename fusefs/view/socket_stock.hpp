#pragma once

#include <functional>
#include <string>
#include <tl/expected.hpp>
#include <vector>

#include "fusefs/boundary/fd.hpp"
#include "fusefs/view/tree.hpp"

namespace airlock::fusefs {

/// Listening, and bound to a node of the view.
struct BoundSocket {
  Fd listening;
  NodeId node = 0;
};

/// Sockets for sessions to come. A bind needs a superblock that is writable, and what is read below
/// a writable one costs a question about its time of access later; each change between the two
/// takes from the kernel's caches what is not in use. So sockets are bound by the lot, and the
/// superblock is read-only but for that while, where the mounts are so still. For the binder's
/// thread.
class SocketStock {
 public:
  /// Takes a name in a folder from the kernel's caches.
  using DropCached = std::function<void(NodeId folder, const std::string& name)>;

  /// mount: a mount of the view's that can be written to and that nobody else can reach. Fills the
  /// stock. Throws std::runtime_error with one sentence.
  SocketStock(Tree& tree, Fd mount, DropCached drop_cached);

  /// The error is one sentence.
  [[nodiscard]] tl::expected<BoundSocket, std::string> take();

  /// For when there is nobody to miss what the kernel has cached: does what take would have to do
  /// soon.
  void refill();

  /// Takes from the kernel's caches what is not in use, by a change of the superblock that is none.
  void drop_unused();

 private:
  [[nodiscard]] tl::expected<void, std::string> fill();
  [[nodiscard]] tl::expected<BoundSocket, std::string> bind_one();
  void make_superblock_read_only();
  [[nodiscard]] bool reconfigure(const char* flag) const;

  Tree& tree_;
  Fd mount_;
  Fd folder_;  ///< where sockets are bound
  DropCached drop_cached_;
  bool is_read_only_ = true;
  bool has_warned_ = false;
  std::vector<BoundSocket> sockets_;
};

}  // namespace airlock::fusefs
