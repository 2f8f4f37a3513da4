#include "fusefs/view/tree.hpp"

#include <algorithm>
#include <utility>

#include "fusefs/view/attributes.hpp"

namespace airlock::fusefs {
namespace {

constexpr double forever = 1e9;
/// Where in a session's folder the store is.
constexpr std::string_view in_view = "airlock/store/";
constexpr std::string_view guest_path = "airlock/bin/airlock";
/// What sessions share is below store_node; no store path has a name like this.
constexpr std::string_view guest_key = "guest";
/// At the root, where the others are called like derivations.
constexpr std::string_view nursery_name = "sockets";

tl::unexpected<std::errc> absent() {
  return tl::unexpected(std::errc::no_such_file_or_directory);
}

/// No such name, which the kernel may remember: below a store path nothing ever appears.
Tree::Found never() {
  return {0, {}, forever, true};
}

/// What the nursery is the folder of, which is nowhere to be read.
StorePath nobody() {
  return StorePath::parse("00000000000000000000000000000000-sockets").value();
}

std::string join(const std::string& folder, std::string_view name) {
  return folder.empty() ? std::string(name) : folder + "/" + std::string(name);
}

}  // namespace

std::string Tree::Resolved::store_path() const {
  return path.substr(in_view.size());
}

Tree::Tree(int store, const GuestProgram& guest, ViewLayout layout, pid_t binder,
           std::size_t most_nodes)
    : files_(store),
      guest_(guest),
      layout_(std::move(layout)),
      binder_(binder),
      nursery_(std::make_shared<SessionTree>(nobody(), layout_)),
      nursery_socket_(nursery_->add_socket()),
      table_(most_nodes) {
  // What becomes a session's socket is the session's to keep back.
  nursery_->set_published();
}

bool Tree::add(const StorePath& derivation) {
  auto tree = std::make_shared<SessionTree>(derivation, layout_);
  const std::lock_guard lock(mutex_);
  const auto [entry, fresh] = sessions_.try_emplace(derivation.base(), Session{tree, 0});
  if (!fresh) return false;
  const Place place{std::move(tree), SessionTree::top};
  const auto* node = table_.remember(var_node, derivation.base(), place);
  entry->second.in_var = node == nullptr ? 0 : node->id;
  return true;
}

std::string Tree::socket_nursery() const {
  return std::string(nursery_name) + "/" + nursery_->socket_folder();
}

Tree::BoundNode Tree::take_bound() {
  const std::lock_guard lock(mutex_);
  return std::exchange(bound_, {});
}

void Tree::set_socket(const StorePath& derivation, NodeId bound) {
  const std::lock_guard lock(mutex_);
  const auto found = sessions_.find(derivation.base());
  if (found == sessions_.end()) return;
  found->second.tree->add_socket();
  found->second.tree->set_socket_node(bound);
}

void Tree::publish(const StorePath& derivation, const ViewContent& content) {
  const std::lock_guard lock(mutex_);
  const auto found = sessions_.find(derivation.base());
  if (found == sessions_.end() || found->second.tree->is_published()) return;
  found->second.tree->set_content(content);
  found->second.tree->set_published();
}

bool Tree::reveal(const StorePath& derivation, const std::vector<StorePath>& paths) {
  const std::lock_guard lock(mutex_);
  const auto found = sessions_.find(derivation.base());
  if (found == sessions_.end()) return false;
  SessionTree& tree = *found->second.tree;
  return std::all_of(paths.begin(), paths.end(),
                     [&](const StorePath& path) { return tree.reveal(path); });
}

void Tree::remove(const StorePath& derivation) {
  const std::lock_guard lock(mutex_);
  const auto found = sessions_.find(derivation.base());
  if (found == sessions_.end()) return;
  // The next session of this derivation is a folder of its own, whatever the kernel remembers.
  table_.detach(root_node, derivation.base());
  table_.detach(var_node, derivation.base());
  table_.forget(found->second.in_var, 1);
  sessions_.erase(found);
}

Tree::Result<Tree::Found> Tree::look_up(NodeId parent, std::string_view name, pid_t caller) {
  if (parent == root_node) return look_up_session(name, caller);
  const auto resolved = resolve(parent);
  if (!resolved) return tl::unexpected(resolved.error());
  if (resolved->place.entry == Place::in_store) return look_up_in_store(*resolved, name);
  if (resolved->place.entry == Place::guest) return tl::unexpected(std::errc::not_a_directory);
  return look_up_entry(*resolved, name);
}

bool Tree::may_be_in_var(std::string_view name) const {
  return SessionTree::is_at_top(name, layout_);
}

const Tree::Session* Tree::find(const std::optional<StorePath>& derivation) const {
  if (!derivation) return nullptr;
  const auto found = sessions_.find(derivation->base());
  return found == sessions_.end() ? nullptr : &found->second;
}

bool Tree::must_wait(NodeId id, pid_t caller) const {
  if (id <= last_fixed_node || caller == binder_) return false;
  const std::lock_guard lock(mutex_);
  const auto* node = table_.find(id);
  return node != nullptr && node->place.session && !node->place.session->is_published();
}

bool Tree::is_in_store(NodeId id) const {
  const std::lock_guard lock(mutex_);
  const auto* node = table_.find(id);
  return node != nullptr && node->place.entry == Place::in_store;
}

Tree::Result<Tree::Found> Tree::look_up_in_var(const std::optional<StorePath>& derivation,
                                               std::string_view name) {
  Resolved top;
  bool published = false;
  {
    const std::lock_guard lock(mutex_);
    const Session* session = find(derivation);
    if (session == nullptr || session->in_var == 0) return absent();
    top.id = session->in_var;
    top.place = Place{session->tree, SessionTree::top};
    published = session->tree->is_published();
  }
  auto found = look_up_entry(top, name);
  // The next who asks may be somebody else: the kernel must not answer for us.
  if (found && found->id == 0) return absent();
  if (found) found->valid_for = 0;
  if (found) found->attributes_last = published;
  return found;
}

bool Tree::is_crowded() const {
  const std::lock_guard lock(mutex_);
  return table_.is_crowded();
}

void Tree::forget(NodeId id, std::uint64_t lookups) {
  const std::lock_guard lock(mutex_);
  table_.forget(id, lookups);
}

Tree::Result<Tree::Found> Tree::make_socket(NodeId parent, std::string_view name, pid_t caller) {
  const auto read_only = tl::unexpected(std::errc::read_only_file_system);
  if (caller != binder_ || name != SessionTree::socket_name) return read_only;
  const auto resolved = resolve(parent);
  const bool here = resolved && resolved->place.session == nursery_ &&
                    resolved->place.entry == nursery_->socket_parent();
  if (!here) return read_only;
  const auto attributes = attributes_of(SessionTree::Kind::socket, 0, join(resolved->path, name));
  const auto made = answer(parent, name, {nursery_, nursery_socket_}, attributes, forever);
  const std::lock_guard lock(mutex_);
  // The next one is a node of its own.
  table_.detach(parent, name);
  if (made) bound_ = {made->id, parent};
  return made;
}

Tree::Result<struct stat> Tree::attributes(NodeId id) const {
  if (id == root_node) return attributes_of(SessionTree::Kind::folder, 0, "/");
  if (id == var_node) return attributes_of(SessionTree::Kind::folder, 0, "");
  const auto resolved = resolve(id);
  if (!resolved) return tl::unexpected(resolved.error());
  if (resolved->place.entry == Place::in_store) {
    const auto file = files_.look(resolved->store_path());
    if (!file) return tl::unexpected(file.error());
    return attributes_of(*file, resolved->path);
  }
  if (resolved->place.entry == Place::guest) return guest_attributes();
  const std::lock_guard lock(mutex_);
  const auto& entry = resolved->place.session->entry(resolved->place.entry);
  return attributes_of(entry.kind, entry.text.size(), resolved->path);
}

struct stat Tree::guest_attributes() const {
  return attributes_of(SessionTree::Kind::guest, guest_.size(), guest_path);
}

Tree::Result<std::string> Tree::link_target(NodeId id) const {
  const auto resolved = resolve(id);
  if (!resolved) return tl::unexpected(resolved.error());
  if (resolved->place.entry == Place::in_store) return files_.link_target(resolved->store_path());
  if (resolved->place.entry == Place::guest) return tl::unexpected(std::errc::invalid_argument);
  const std::lock_guard lock(mutex_);
  const auto& entry = resolved->place.session->entry(resolved->place.entry);
  if (entry.kind != SessionTree::Kind::link) return tl::unexpected(std::errc::invalid_argument);
  return entry.text;
}

Tree::Result<std::string> Tree::read(NodeId id, std::size_t size, std::uint64_t offset) const {
  const auto resolved = resolve(id);
  if (!resolved) return tl::unexpected(resolved.error());
  if (resolved->place.entry == Place::in_store) {
    return files_.read(resolved->store_path(), size, offset);
  }
  if (resolved->place.entry == Place::guest) return guest_.read(size, offset);
  const std::lock_guard lock(mutex_);
  const auto& text = resolved->place.session->entry(resolved->place.entry).text;
  return text.substr(std::min<std::uint64_t>(offset, text.size()), size);
}

Tree::Result<void> Tree::list(NodeId id, off_t from,
                              const std::function<bool(const Listed&)>& take) {
  if (id == root_node) {
    list_sessions(from, take);
    return {};
  }
  const auto resolved = resolve(id);
  if (!resolved) return tl::unexpected(resolved.error());
  if (resolved->place.entry == Place::in_store) return list_in_store(*resolved, from, take);
  if (resolved->place.entry == Place::guest) return tl::unexpected(std::errc::not_a_directory);
  bool is_store = false;
  {
    const std::lock_guard lock(mutex_);
    const auto& entry = resolved->place.session->entry(resolved->place.entry);
    is_store = entry.kind == SessionTree::Kind::store;
  }
  if (is_store) {
    list_revealed(*resolved, from, take);
    return {};
  }
  for (const auto& listed : list_entries(*resolved)) {
    if (listed.next > from && !take(listed)) break;
  }
  return {};
}

Tree::Result<Tree::Resolved> Tree::resolve(NodeId id) const {
  const std::lock_guard lock(mutex_);
  const auto* node = table_.find(id);
  if (node == nullptr || id <= last_fixed_node) return absent();
  return resolve_locked(*node);
}

Tree::Resolved Tree::resolve_locked(const InodeTable::Node& node) const {
  Resolved resolved{node.id, node.place, node.twin, {}};
  std::vector<const std::string*> names;
  const auto* step = &node;
  for (; step->parent > last_fixed_node; step = table_.find(step->parent)) {
    names.push_back(&step->name);
  }
  // Below the root and `var` the first name is a session's, which is not part of the path.
  if (step->parent == store_node) resolved.path = std::string(in_view) + step->name;
  for (auto name = names.rbegin(); name != names.rend(); ++name) {
    resolved.path = join(resolved.path, **name);
  }
  return resolved;
}

Tree::Result<Tree::Found> Tree::look_up_session(std::string_view name, pid_t caller) {
  if (name == var_name) {
    return Found{var_node, attributes_of(SessionTree::Kind::folder, 0, ""), forever, false};
  }
  Place place{nursery_, SessionTree::top};
  if (name != nursery_name || caller != binder_) {
    const std::lock_guard lock(mutex_);
    const auto found = sessions_.find(name);
    if (found == sessions_.end() || !found->second.tree->is_published()) return absent();
    place = Place{found->second.tree, SessionTree::top};
  }
  // Never kept: the same name is another folder when the derivation is built again.
  return answer(root_node, name, place, attributes_of(SessionTree::Kind::folder, 0, ""), 0);
}

Tree::Result<Tree::Found> Tree::look_up_entry(const Resolved& parent, std::string_view name) {
  Place place{parent.place.session, 0};
  struct stat found {};
  bool in_store = false;
  bool is_guest = false;
  const auto path = join(parent.path, name);
  {
    const std::lock_guard lock(mutex_);
    SessionTree& tree = *place.session;
    const auto& folder = tree.entry(parent.place.entry);
    if (folder.kind == SessionTree::Kind::store) {
      // The name may be revealed at any time: never remembered as absent.
      if (!tree.is_revealed(name)) return absent();
      in_store = true;
    } else {
      place.entry = tree.child(parent.place.entry, name);
      // The name is free for the next one.
      if (place.session == nursery_ && place.entry == nursery_socket_) return absent();
      if (place.entry == SessionTree::nothing_here) return never();
      const auto& entry = tree.entry(place.entry);
      is_guest = entry.kind == SessionTree::Kind::guest;
      found = attributes_of(entry.kind, entry.text.size(), path);
    }
  }
  if (is_guest)
    return answer(store_node, guest_key, {nullptr, Place::guest}, guest_attributes(), forever);
  if (!in_store && S_ISSOCK(found.st_mode)) return answer_socket(parent.id, name, place, found);
  if (!in_store) return answer(parent.id, name, place, found, forever);
  const auto file = files_.look(std::string(name));
  if (!file) return tl::unexpected(file.error());
  return answer_in_store(parent, store_node, name, *file, files_.birth(std::string(name)));
}

Tree::Result<Tree::Found> Tree::look_up_in_store(const Resolved& parent, std::string_view name) {
  const auto file = files_.look(parent.store_path() + "/" + std::string(name));
  if (!file) {
    if (file.error() == std::errc::no_such_file_or_directory) return never();
    return tl::unexpected(file.error());
  }
  return answer_in_store(parent, parent.twin, name, *file);
}

Tree::Result<Tree::Found> Tree::answer_in_store(const Resolved& parent, NodeId parent_twin,
                                                std::string_view name, const StoreFile& file,
                                                std::uint64_t born) {
  const auto attributes = attributes_of(file, join(parent.path, name));
  if (file.kind != StoreFile::Kind::folder) {
    return answer(parent_twin, name, Place{nullptr, Place::in_store}, attributes, forever, born);
  }
  const std::lock_guard lock(mutex_);
  const Place place{parent.place.session, Place::in_store};
  const auto* node = table_.remember_folder(parent.id, parent_twin, name, place, born);
  if (node == nullptr) return tl::unexpected(std::errc::not_enough_memory);
  return Found{node->id, attributes, forever, true};
}

Tree::Result<Tree::Found> Tree::answer_socket(NodeId parent, std::string_view name,
                                              const Place& place, struct stat attributes) {
  {
    // connect(2) looks for the node that was bound, under whatever name it is reached.
    const std::lock_guard lock(mutex_);
    const auto* bound = table_.remember_again(place.session->socket_node());
    if (bound != nullptr) return Found{bound->id, attributes, forever, true};
  }
  return answer(parent, name, place, attributes, forever);
}

Tree::Result<Tree::Found> Tree::answer(NodeId parent, std::string_view name, const Place& place,
                                       struct stat attributes, double valid_for,
                                       std::uint64_t born) {
  const std::lock_guard lock(mutex_);
  const auto* node = table_.remember(parent, name, place, born);
  if (node == nullptr) return tl::unexpected(std::errc::not_enough_memory);
  return Found{node->id, attributes, valid_for, true};
}

}  // namespace airlock::fusefs
