#include "daemon/mediator/builds.hpp"

namespace airlock {

Builds::Ticket::~Ticket() {
  const std::lock_guard lock(builds_.mutex_);
  builds_.entries_.erase(entry_);
}

std::optional<std::string> Builds::Ticket::condemned() const {
  const std::lock_guard lock(builds_.mutex_);
  return entry_->condemned;
}

Builds::Ticket Builds::begin(LedgerSession session, std::set<StorePath> derivations) {
  const std::lock_guard lock(mutex_);
  for (const auto& derivation : derivations)
    if (const auto child = open_.find(derivation); child != open_.end())
      ledger_.add_parent(child->second, session);
  entries_.push_front({session, std::move(derivations), std::nullopt});
  return {*this, entries_.begin()};
}

std::set<LedgerSession> Builds::waiting_for(const StorePath& derivation) const {
  const std::lock_guard lock(mutex_);
  std::set<LedgerSession> sessions;
  for (const auto& entry : entries_)
    if (entry.derivations.contains(derivation)) sessions.insert(entry.session);
  return sessions;
}

void Builds::session_opened(const StorePath& derivation, LedgerSession session) {
  const std::lock_guard lock(mutex_);
  open_.insert_or_assign(derivation, session);
}

void Builds::session_closed(const StorePath& derivation, LedgerSession session) {
  const std::lock_guard lock(mutex_);
  if (const auto open = open_.find(derivation); open != open_.end() && open->second == session)
    open_.erase(open);
}

void Builds::condemned(const StorePath& derivation, const std::string& reason) {
  const std::lock_guard lock(mutex_);
  for (auto& entry : entries_)
    if (entry.derivations.contains(derivation)) entry.condemned = reason;
}

}  // namespace airlock
