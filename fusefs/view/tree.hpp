#pragma once

#include <sys/stat.h>

#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <tl/expected.hpp>
#include <vector>

#include "fusefs/boundary/store_path.hpp"
#include "fusefs/view/guest_program.hpp"
#include "fusefs/view/inode_table.hpp"
#include "fusefs/view/listing_cache.hpp"
#include "fusefs/view/session_tree.hpp"
#include "fusefs/view/store_files.hpp"

namespace airlock::fusefs {

/// What the mount shows: at its root a folder a session, in that what SessionTree and StoreFiles
/// say; and the folder `var`, which is the session's own for whoever asks (static mode). Sessions
/// come and go from the event loop, questions come from the FUSE threads; all of it is thread-safe.
///
/// Locks: `mutex_` guards the node table, the sessions and what they reveal. It is held for table
/// look-ups only, never while the store is read and never while our own mount is touched. The
/// listing cache has a lock of its own, which is taken without `mutex_`. No thread holds two.
class Tree {
 public:
  template <typename T>
  using Result = tl::expected<T, std::errc>;

  struct Found {
    NodeId id = 0;  ///< 0: there is no such name, and the kernel may remember that
    struct stat attributes {};
    double valid_for = 0;         ///< seconds that the kernel may keep the name
    bool attributes_last = true;  ///< the kernel may keep the attributes
  };
  struct Listed {
    std::string name;
    NodeId inode_number = 0;
    mode_t type = 0;
    off_t next = 0;  ///< where a listing goes on after this name
    /// What a lookup answers, counted as one; not where that is not known, or depends on who asks.
    std::function<Result<Found>()> found{};
  };

  struct BoundNode {
    NodeId node = 0;  ///< 0: there is none
    NodeId folder = 0;
  };

  /// binder: the thread that may make sockets, and see where. most_nodes: that the kernel knows at
  /// once; what it looks up beyond them fails. The store folder's descriptor is held by the caller
  /// for as long as this, and so is guest.
  Tree(int store, const GuestProgram& guest, ViewLayout layout, pid_t binder,
       std::size_t most_nodes);

  // From the event loop.

  /// False when there is one of that name. Nobody sees it yet.
  bool add(const StorePath& derivation);
  /// The folder where the binder may bind sockets, from the root. Only the binder finds it, and
  /// what it has bound there has no name there.
  [[nodiscard]] std::string socket_nursery() const;
  /// What was bound last, once.
  [[nodiscard]] BoundNode take_bound();
  /// The session's socket is that node, for as long as it is bound.
  void set_socket(const StorePath& derivation, NodeId bound);
  void publish(const StorePath& derivation, const ViewContent& content);
  [[nodiscard]] bool reveal(const StorePath& derivation, const std::vector<StorePath>& paths);
  void remove(const StorePath& derivation);

  // From the FUSE threads. caller is a thread's number.

  /// For a parent that is not var_node.
  [[nodiscard]] Result<Found> look_up(NodeId parent, std::string_view name, pid_t caller);
  /// Whether the node is a store path's, or below one: what is there never changes.
  [[nodiscard]] bool is_in_store(NodeId id) const;
  /// Whether the node is of a session that is not open yet, so that it cannot be said yet what it
  /// is: ask Contacts first. Never for the binder.
  [[nodiscard]] bool must_wait(NodeId id, pid_t caller) const;
  /// In `var`, for a caller of that session's; without one nothing is there.
  [[nodiscard]] Result<Found> look_up_in_var(const std::optional<StorePath>& derivation,
                                             std::string_view name);
  /// Whether the name could be in anybody's `var`. What follows from this is the same for everyone.
  [[nodiscard]] bool may_be_in_var(std::string_view name) const;
  void forget(NodeId id, std::uint64_t lookups);
  [[nodiscard]] Result<Found> make_socket(NodeId parent, std::string_view name, pid_t caller);
  [[nodiscard]] Result<struct stat> attributes(NodeId id) const;
  [[nodiscard]] Result<std::string> link_target(NodeId id) const;
  [[nodiscard]] Result<std::string> read(NodeId id, std::size_t size, std::uint64_t offset) const;
  /// Hands names to take, in order, from a place on, until take returns false. Not of var_node.
  [[nodiscard]] Result<void> list(NodeId id, off_t from,
                                  const std::function<bool(const Listed&)>& take);
  /// The same of `var`, for a caller of that session's. While that is not decided it lists ".", so
  /// that the caller asks for what comes after it.
  void list_var(const std::optional<StorePath>& derivation, off_t from,
                const std::function<bool(const Listed&)>& take) const;

  static constexpr std::string_view var_name = "var";
  /// Whether there is little room left for more nodes.
  [[nodiscard]] bool is_crowded() const;

 private:
  struct Session {
    std::shared_ptr<SessionTree> tree;
    NodeId in_var = 0;  ///< its folder as `var`: what is in there are other nodes than in its own
  };
  /// A node without its place in the table, to be used without the lock.
  struct Resolved {
    NodeId id = 0;
    Place place;
    NodeId twin = 0;   ///< of a folder in the store
    std::string path;  ///< from the session's folder, "" for that itself
    /// From the store folder; for what is in the store only.
    [[nodiscard]] std::string store_path() const;
  };

  [[nodiscard]] Result<Resolved> resolve(NodeId id) const;  // takes the lock
  [[nodiscard]] Resolved resolve_locked(const InodeTable::Node& node) const;
  [[nodiscard]] struct stat guest_attributes() const;
  [[nodiscard]] Result<Found> look_up_session(std::string_view name, pid_t caller);
  [[nodiscard]] Result<Found> look_up_entry(const Resolved& parent, std::string_view name);
  [[nodiscard]] Result<Found> look_up_in_store(const Resolved& parent, std::string_view name);
  [[nodiscard]] Result<Found> answer(NodeId parent, std::string_view name, const Place& place,
                                     struct stat attributes, double valid_for,
                                     std::uint64_t born = 0);
  [[nodiscard]] Result<Found> answer_socket(NodeId parent, std::string_view name,
                                            const Place& place, struct stat attributes);
  /// parent_twin: where what the sessions share of the parent is. born: of a store path.
  [[nodiscard]] Result<Found> answer_in_store(const Resolved& parent, NodeId parent_twin,
                                              std::string_view name, const StoreFile& file,
                                              std::uint64_t born = 0);
  [[nodiscard]] const Session* find(const std::optional<StorePath>& derivation) const;
  void list_sessions(off_t from, const std::function<bool(const Listed&)>& take) const;
  [[nodiscard]] std::vector<Listed> list_entries(const Resolved& folder) const;
  void list_revealed(const Resolved& folder, off_t from,
                     const std::function<bool(const Listed&)>& take) const;
  [[nodiscard]] Result<void> list_in_store(const Resolved& folder, off_t from,
                                           const std::function<bool(const Listed&)>& take);

  StoreFiles files_;
  const GuestProgram& guest_;
  ViewLayout layout_;
  pid_t binder_;
  std::shared_ptr<SessionTree> nursery_;  ///< a session's folder that is nobody's; never changes
  std::uint32_t nursery_socket_ = 0;
  BoundNode bound_;
  ListingCache listings_;
  mutable std::mutex mutex_;
  InodeTable table_;
  std::map<std::string, Session, std::less<>> sessions_;
};

}  // namespace airlock::fusefs
