#include "fusefs/view/inode_table.hpp"

#include <algorithm>

namespace airlock::fusefs {

InodeTable::InodeTable(std::size_t limit) : limit_(limit) {
  for (const NodeId id : {root_node, var_node, store_node}) {
    Node& node = nodes_[id];
    node.id = id;
    node.parent = root_node;
  }
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
                                             const Place& place, std::uint64_t born) {
  const auto known = names_.find(Key{parent, name});
  if (known != names_.end()) {
    Node& node = nodes_.at(known->second);
    if (node.born == born) {
      ++node.lookups;
      return &node;
    }
    detach(parent, name);
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
  node.born = born;
  names_.emplace(Key{parent, node.name}, id);
  // Looked up again: making the node may have moved the table, though not what is in it.
  ++nodes_.at(parent).children;
  return &node;
}

const InodeTable::Node* InodeTable::remember_folder(NodeId parent, NodeId parent_twin,
                                                    std::string_view name, const Place& place,
                                                    std::uint64_t born) {
  const auto known = names_.find(Key{parent, name});
  if (known != names_.end()) return remember_again(known->second);
  const auto* twin = remember(parent_twin, name, Place{nullptr, Place::in_store}, born);
  if (twin == nullptr) return nullptr;
  const NodeId twin_id = twin->id;
  const auto* made = remember(parent, name, place);
  if (made == nullptr) {
    forget(twin_id, 1);
    return nullptr;
  }
  nodes_.at(made->id).twin = twin_id;
  return made;
}

const InodeTable::Node* InodeTable::remember_again(NodeId id) {
  const auto found = nodes_.find(id);
  if (found == nodes_.end()) return nullptr;
  ++found->second.lookups;
  return &found->second;
}

void InodeTable::forget(NodeId id, std::uint64_t lookups) {
  const auto found = nodes_.find(id);
  if (found == nodes_.end() || id <= last_fixed_node) return;
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
  // A list, not recursion: the last node of a long path may take all of its ancestors along.
  std::vector<NodeId> next{id};
  while (!next.empty()) {
    const NodeId candidate = next.back();
    next.pop_back();
    const auto found = nodes_.find(candidate);
    if (found == nodes_.end() || candidate <= last_fixed_node) continue;
    if (found->second.lookups == 0 && found->second.children == 0) erase(candidate, next);
  }
}

void InodeTable::erase(NodeId id, std::vector<NodeId>& next) {
  const auto found = nodes_.find(id);
  const Node& node = found->second;
  const NodeId parent = node.parent;
  const NodeId twin = node.twin;
  if (!node.detached) names_.erase(Key{parent, node.name});
  nodes_.erase(found);
  --nodes_.at(parent).children;
  next.push_back(parent);
  if (twin == 0) return;
  --nodes_.at(twin).lookups;
  next.push_back(twin);
}

}  // namespace airlock::fusefs
