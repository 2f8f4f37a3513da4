#include "fusefs/view/listing_cache.hpp"

#include <algorithm>

namespace airlock::fusefs {

ListingCache::Listing ListingCache::find(NodeId folder) {
  const std::lock_guard lock(mutex_);
  const auto found = std::find_if(recent_.begin(), recent_.end(),
                                  [&](const Entry& entry) { return entry.folder == folder; });
  if (found == recent_.end()) return nullptr;
  recent_.splice(recent_.begin(), recent_, found);
  return found->listing;
}

void ListingCache::keep(NodeId folder, Listing listing) {
  const std::lock_guard lock(mutex_);
  names_ += listing->size();
  recent_.push_front({folder, std::move(listing)});
  while (recent_.size() > max_entries || (names_ > max_names && recent_.size() > 1)) {
    names_ -= recent_.back().listing->size();
    recent_.pop_back();
  }
}

}  // namespace airlock::fusefs
