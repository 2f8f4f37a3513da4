#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "daemon/core/store_layout.hpp"
#include "daemon/settle/roots.hpp"
#include "fusefs/boundary/fd.hpp"

namespace airlock {

/// The derivations that something is owed for: the names of the folders below
/// StoreLayout::debts() that are a derivation's. None when there is no such folder.
[[nodiscard]] std::vector<StorePath> list_debts(const StoreLayout& layout);

/// What one derivation's build was granted: a locked folder of garbage collector roots that belongs
/// to the airlock user, and is only touched by a process that runs as that user.
class DebtFolder {
 public:
  DebtFolder(const StoreLayout& layout, const StorePath& derivation);

  /// Takes the lock, which airlockd shares as long as the session may be granted more. Throws
  /// std::system_error.
  [[nodiscard]] FolderLock lock(std::chrono::milliseconds patience);

  /// The granted paths, without the derivation itself. Throws std::runtime_error when anything
  /// else lies there. Needs the lock, as do the functions below.
  [[nodiscard]] std::set<StorePath> granted() const;

  /// A number that is kept, over crashes too, until the debt is removed; an earlier one stays.
  void set_mark(std::int64_t mark) const;
  [[nodiscard]] std::optional<std::int64_t> mark() const;

  /// Throws std::system_error.
  void remove() const;

 private:
  std::string base_;
  Fd parent_;
  Fd folder_;
};

}  // namespace airlock
