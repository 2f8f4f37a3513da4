#pragma once

#include <chrono>
#include <cstdint>
#include <set>
#include <string>
#include <string_view>
#include <tl/expected.hpp>
#include <vector>

#include "daemon/core/store_layout.hpp"
#include "daemon/settle/readers.hpp"
#include "daemon/settle/roots.hpp"
#include "fusefs/boundary/fd.hpp"

namespace airlock {

/// What is kept of an amendment while processes run that may have read the old references.
struct RecentAmendment {
  std::int64_t mark = 0;  ///< what was registered up to here was looked at
  /// More is being amended: who has read what by the end of that is not known yet, and the readers
  /// have to be looked for again.
  bool unfinished = false;
  Readers readers;
  std::set<StorePath> paths;  ///< held: the outputs that were amended, and what they now refer to

  /// Lines, without the paths.
  [[nodiscard]] std::string print() const;
  /// What print made, without the paths. The error is one sentence.
  [[nodiscard]] static tl::expected<RecentAmendment, std::string> parse(std::string_view text);
};

/// The derivations that such a record exists for. None when there is no such folder.
[[nodiscard]] std::vector<StorePath> list_recent(const StoreLayout& layout);

/// One such record: a locked folder below StoreLayout::recent() that belongs to the airlock user,
/// and is only touched by a process that runs as that user. Throws std::exception everywhere.
class RecentFolder {
 public:
  RecentFolder(const StoreLayout& layout, const StorePath& derivation);

  [[nodiscard]] FolderLock lock(std::chrono::milliseconds patience);
  /// Makes the record, or adds to the one that is there: the earlier mark of the two is kept, and
  /// the readers are replaced. For the holder of the derivation's debt; waits for the lock.
  void keep(const RecentAmendment& amendment);

  // With the lock:
  /// Not so where whoever made or removed it has crashed meanwhile.
  [[nodiscard]] bool complete() const;
  [[nodiscard]] RecentAmendment read() const;
  void write(const RecentAmendment& amendment) const;  ///< mark and readers
  void remove();

 private:
  StoreLayout layout_;
  StorePath derivation_;
  Fd parent_;
  Fd folder_;
};

}  // namespace airlock
