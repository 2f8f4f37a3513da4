#include "daemon/mediator/additions.hpp"

namespace airlock {

bool Additions::visible(const StorePath& path) const {
  return added_.contains(path) || session_.visible(path);
}

std::shared_ptr<const Derivation> Additions::derivation(const StorePath& path) const {
  return added_.contains(path) ? session_.added_derivation(path) : session_.derivation(path);
}

bool Additions::is_own_output(const StorePath& path) const {
  return session_.is_own_output(path);
}

void Additions::add(const StorePath& path, std::uint64_t size,
                    std::optional<Derivation> derivation) {
  if (visible(path)) return;
  if (derivation) session_.remember(path, *std::move(derivation));
  added_.insert(path);
  session_.count_taken(path, size);
}

void Additions::grant() {
  session_.grant_added(added_);
}

}  // namespace airlock
