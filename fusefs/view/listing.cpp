// How the folders of a Tree are listed: always in the order of the names, and so that a listing
// that is read in pieces misses nothing and repeats nothing when a name comes in between.

#include <algorithm>
#include <limits>

#include "fusefs/view/attributes.hpp"
#include "fusefs/view/tree.hpp"

namespace airlock::fusefs {
namespace {

constexpr std::string_view digits = "0123456789abcdfghijklmnpqrsvwxyz";
constexpr std::size_t counted = 12;

/// A place in a listing that follows from a store path's name, and grows with it: the first 60 bits
/// of its hash part, plus one. nix32's digits are in the order of their characters.
off_t place_of(std::string_view base) {
  off_t place = 0;
  for (const char c : base.substr(0, counted)) {
    place = place * 32 + static_cast<off_t>(digits.find(c));
  }
  return place + 1;
}

/// Sorts after every name at the place or before it, and before every name after it.
std::string just_after(off_t place) {
  if (place <= 0) return {};
  std::string prefix(counted, ' ');
  off_t rest = place - 1;
  for (auto c = prefix.rbegin(); c != prefix.rend(); ++c, rest /= 32) {
    *c = digits[static_cast<std::size_t>(rest % 32)];
  }
  return prefix + '~';
}

/// In `var`: how often somebody may be told to come again, far more than there is time for.
constexpr off_t first_in_var = 1u << 20;

}  // namespace

void Tree::list_sessions(off_t from, const std::function<bool(const Listed&)>& take) const {
  const std::lock_guard lock(mutex_);
  for (const auto& [base, session] : sessions_) {
    if (!session.tree->is_published() || place_of(base) <= from) continue;
    if (!take({base, inode_number(base), S_IFDIR, place_of(base)})) return;
  }
  constexpr off_t last = std::numeric_limits<off_t>::max();
  if (from < last) take({std::string(var_name), inode_number(""), S_IFDIR, last});
}

void Tree::list_var(const std::optional<StorePath>& derivation, off_t from,
                    const std::function<bool(const Listed&)>& take) const {
  Resolved top;
  bool decided = false;
  {
    const std::lock_guard lock(mutex_);
    const Session* session = find(derivation);
    if (session == nullptr) return;
    decided = session->tree->is_published();
    top.place = Place{session->tree, SessionTree::top};
  }
  if (!decided) {
    // To wait here for long would keep everyone out who wants to change something in the folder,
    // and behind him whoever looks for a name. So the caller gets what every folder has, and comes
    // again.
    const auto next = std::min(from + 1, first_in_var);
    take({".", inode_number(""), S_IFDIR, next});
    return;
  }
  for (auto& listed : list_entries(top)) {
    listed.next += first_in_var;
    if (listed.next > from && !take(listed)) return;
  }
}

std::vector<Tree::Listed> Tree::list_entries(const Resolved& folder) const {
  const std::lock_guard lock(mutex_);
  const SessionTree& tree = *folder.place.session;
  std::vector<Listed> listed;
  for (const auto index : tree.entry(folder.place.entry).children) {
    const auto& entry = tree.entry(index);
    const auto path = folder.path.empty() ? entry.name : folder.path + "/" + entry.name;
    const auto next = static_cast<off_t>(listed.size() + 1);
    listed.push_back({entry.name, inode_number(path), type_of(entry.kind), next});
  }
  return listed;
}

void Tree::list_revealed(const Resolved& folder, off_t from,
                         const std::function<bool(const Listed&)>& take) const {
  // Some names at a time, so that the store is not asked for their types under the lock.
  constexpr std::size_t batch = 64;
  auto after = just_after(from);
  for (bool more = true; more;) {
    std::vector<std::string> names;
    {
      const std::lock_guard lock(mutex_);
      const auto& revealed = folder.place.session->revealed();
      for (auto name = revealed.upper_bound(after); name != revealed.end() && names.size() < batch;
           ++name) {
        names.push_back(*name);
      }
    }
    more = names.size() == batch;
    for (const auto& name : names) {
      after = name;
      const auto file = files_.look(name);
      if (!file) continue;
      const auto number = inode_number(folder.path + "/" + name);
      if (!take({name, number, type_of(file->kind), place_of(name)})) return;
    }
  }
}

Tree::Result<void> Tree::list_in_store(const Resolved& folder, off_t from,
                                       const std::function<bool(const Listed&)>& take) {
  auto listing = listings_.find(folder.twin);
  if (!listing) {
    auto listed = files_.list(folder.store_path());
    if (!listed) return tl::unexpected(listed.error());
    listing = std::make_shared<const std::vector<ListedFile>>(std::move(*listed));
    listings_.keep(folder.twin, listing);
  }
  for (auto i = static_cast<std::size_t>(from); i < listing->size(); ++i) {
    const auto& file = (*listing)[i];
    const auto number = inode_number(folder.path + "/" + file.name);
    const auto found = [&] { return answer_in_store(folder, folder.twin, file.name, file.file); };
    if (!take({file.name, number, type_of(file.file.kind), static_cast<off_t>(i + 1), found}))
      break;
  }
  return {};
}

}  // namespace airlock::fusefs
