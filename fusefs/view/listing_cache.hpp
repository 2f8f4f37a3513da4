#pragma once

#include <list>
#include <memory>
#include <mutex>
#include <vector>

#include "fusefs/view/inode_table.hpp"
#include "fusefs/view/store_files.hpp"

namespace airlock::fusefs {

/// The folders listed last. The kernel reads a folder in pieces, and a piece starts anywhere in the
/// order; without this every piece would list and sort the whole folder again. What is below a
/// store path never changes, so an entry is never wrong and losing one costs time only: a sandbox
/// can make us hold this much memory and no more. Thread-safe.
class ListingCache {
 public:
  using Listing = std::shared_ptr<const std::vector<ListedFile>>;

  /// nullptr when it is not known.
  [[nodiscard]] Listing find(NodeId folder);
  void keep(NodeId folder, Listing listing);

 private:
  struct Entry {
    NodeId folder;
    Listing listing;
  };
  static constexpr std::size_t max_entries = 64;
  static constexpr std::size_t max_names = 1u << 20;

  std::mutex mutex_;
  std::list<Entry> recent_;  ///< the last used first
  std::size_t names_ = 0;
};

}  // namespace airlock::fusefs
