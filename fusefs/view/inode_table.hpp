#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace airlock::fusefs {

using NodeId = std::uint64_t;
inline constexpr NodeId root_node = 1;  // FUSE_ROOT_ID
/// The folder that every sandbox has in static mode. What is in it depends on who asks.
inline constexpr NodeId var_node = 2;
/// Above what is in the store, for all sessions; the kernel never sees it.
inline constexpr NodeId store_node = 3;
inline constexpr NodeId last_fixed_node = store_node;

/// What a node stands for: an entry of a session's tree, something below a store path, or the
/// guest program.
/// The tree is held by the nodes, so that a session that is gone can still be asked about.
class SessionTree;
struct Place {
  std::shared_ptr<SessionTree> session;
  std::uint32_t entry = 0;  ///< an entry of the tree, or one of these
  static constexpr std::uint32_t in_store = 0xffffffff;
  static constexpr std::uint32_t guest = 0xfffffffd;
};

/// The names that the kernel knows: each (parent, name) is one node with a number of its own, so
/// two folders never share a node, and the same name is the same node for as long as the kernel or
/// one of its children refers to it. Numbers are never used again, so no generation is needed.
///
/// What sessions have in common is below store_node. A folder of a session's that shows one from
/// there has it as its twin and keeps it; what is not a folder has one node for all sessions, and
/// so one place in the page cache.
///
/// The kernel counts a node once for every answer that named it and gives the counts back with
/// forget, in any order: a folder may be forgotten before what is in it. Not thread-safe.
class InodeTable {
 public:
  struct Node {
    NodeId id = 0;
    NodeId parent = 0;
    std::string name;
    Place place;
    std::uint64_t lookups = 0;   ///< what the kernel will forget
    std::uint64_t children = 0;  ///< nodes whose parent this is
    NodeId twin = 0;             ///< of a folder in the store: the node that all sessions share
    std::uint64_t born = 0;      ///< see remember
    bool detached = false;       ///< its name is free for another node
  };

  explicit InodeTable(std::size_t limit);

  /// Never invalidated while the node is there; nullptr when it is not.
  [[nodiscard]] const Node* find(NodeId id) const;
  /// The node of a name, if the kernel knows it.
  [[nodiscard]] const Node* find(NodeId parent, std::string_view name) const;

  /// Counts one more lookup of the name, making the node when it is new. The parent must exist.
  /// nullptr when the table is full. born: tells what has the name now from what had it before,
  /// whose node loses it.
  const Node* remember(NodeId parent, std::string_view name, const Place& place,
                       std::uint64_t born = 0);
  /// The same for a folder whose twin is the node of that name, born then, below parent_twin.
  const Node* remember_folder(NodeId parent, NodeId parent_twin, std::string_view name,
                              const Place& place, std::uint64_t born = 0);
  /// Counts one more lookup of a node; nullptr when it is not there any more.
  const Node* remember_again(NodeId id);
  /// Gives lookups back. More than there are, or an unknown node, is ignored.
  void forget(NodeId id, std::uint64_t lookups);

  /// Frees the name: the node lives on until it is forgotten, and the next lookup makes another.
  void detach(NodeId parent, std::string_view name);

  /// The fixed ones not counted.
  [[nodiscard]] std::size_t size() const { return nodes_.size() - last_fixed_node; }
  /// Whether most of the room is taken.
  [[nodiscard]] bool is_crowded() const { return size() > limit_ / 4 * 3; }

 private:
  struct Key {
    NodeId parent;
    std::string_view name;  // of the node, whose address in nodes_ never changes
    bool operator==(const Key&) const = default;
  };
  struct KeyHash {
    std::size_t operator()(const Key& key) const {
      return std::hash<std::string_view>()(key.name) ^ (key.parent * 0x9e3779b97f4a7c15ULL);
    }
  };

  void release_if_unused(NodeId id);
  /// Takes an unused node away; the nodes that it kept are those to look at next.
  void erase(NodeId id, std::vector<NodeId>& next);

  std::unordered_map<NodeId, Node> nodes_;
  std::unordered_map<Key, NodeId, KeyHash> names_;
  NodeId next_id_ = last_fixed_node + 1;
  std::size_t limit_;
};

}  // namespace airlock::fusefs
