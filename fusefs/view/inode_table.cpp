#include "fusefs/view/inode_table.hpp"

#include <algorithm>

namespace airlock::fusefs {

InodeTable::InodeTable(std::size_t limit) : limit_(limit) {
  Node root;
  root.id = root_node;
  root.parent = root_node;
  nodes_.emplace(root_node, std::move(root));
}

const InodeTable::Node* InodeTable::find(NodeId id) const {
  const auto found = nodes_.find(id);
  return found == nodes_.end() ? nullptr : &found->second;
}

const InodeTable::Node* InodeTable::find(NodeId parent, std::string_view name) const {
  const auto found = names_.find(Key{parent, name});
  return found == names_.end() ? nullptr : find(found->second);
}

const InodeTable::Node* InodeTable::remember(NodeId parent, std::string_view name,
                                             const Place& place) {
  const auto known = names_.find(Key{parent, name});
  if (known != names_.end()) {
    Node& node = nodes_.at(known->second);
    ++node.lookups;
    return &node;
  }
  const auto above = nodes_.find(parent);
  if (size() >= limit_ || above == nodes_.end()) return nullptr;
  const NodeId id = next_id_++;
  Node& node = nodes_[id];
  node.id = id;
  node.parent = parent;
  node.name = name;
  node.place = place;
  node.lookups = 1;
  names_.emplace(Key{parent, node.name}, id);
  // Looked up again: making the node may have moved the table, though not what is in it.
  ++nodes_.at(parent).children;
  return &node;
}

void InodeTable::forget(NodeId id, std::uint64_t lookups) {
  const auto found = nodes_.find(id);
  if (found == nodes_.end() || id == root_node) return;
  found->second.lookups -= std::min(lookups, found->second.lookups);
  release_if_unused(id);
}

void InodeTable::detach(NodeId parent, std::string_view name) {
  const auto found = names_.find(Key{parent, name});
  if (found == names_.end()) return;
  Node& node = nodes_.at(found->second);
  node.detached = true;
  names_.erase(found);
}

void InodeTable::release_if_unused(NodeId id) {
  // A loop, not recursion: the last node of a long path may take all of its ancestors along.
  while (id != root_node) {
    const auto found = nodes_.find(id);
    const Node& node = found->second;
    if (node.lookups > 0 || node.children > 0) return;
    const NodeId parent = node.parent;
    if (!node.detached) names_.erase(Key{parent, node.name});
    nodes_.erase(found);
    --nodes_.at(parent).children;
    id = parent;
  }
}

}  // namespace airlock::fusefs
