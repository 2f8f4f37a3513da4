#include "daemon/guest/hash_rewriter.hpp"

#include <algorithm>

namespace airlock::guest {

void HashRewriter::write(std::string_view bytes) {
  held_.append(bytes);
  std::size_t done = 0;
  std::size_t longest = 1;
  for (const auto& replacement : replacements_)
    longest = std::max(longest, replacement.from.size());
  for (;;) {
    const Replacement* first = nullptr;
    auto place = std::string::npos;
    for (const auto& replacement : replacements_) {
      const auto found = held_.find(replacement.from, done);
      if (found >= place) continue;
      place = found;
      first = &replacement;
    }
    if (first == nullptr) break;
    if (first->names_differ) impossible_ = first;
    held_.replace(place, first->from.size(), first->to);
    done = place + first->to.size();
  }
  // What may be the start of one stays.
  const auto keep = std::min(longest - 1, held_.size() - done);
  to_.write(std::string_view(held_).substr(0, held_.size() - keep));
  held_.erase(0, held_.size() - keep);
}

void HashRewriter::finish() {
  to_.write(held_);
  held_.clear();
}

}  // namespace airlock::guest
