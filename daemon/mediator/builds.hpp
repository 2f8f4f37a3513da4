#pragma once

#include <list>
#include <map>
#include <mutex>
#include <optional>
#include <set>
#include <string>

#include "daemon/ledger/ledger.hpp"

namespace airlock {

/// Who waits for which derivation: where a new session's parents come from, and how the end of a
/// condemned session reaches those that wait for it. Thread-safe.
class Builds {
  struct Entry {
    LedgerSession session;
    std::set<StorePath> derivations;
    std::optional<std::string> condemned;
  };

 public:
  explicit Builds(Ledger& ledger) : ledger_(ledger) {}

  /// One request to build, from before upstream is asked until after its answer.
  class Ticket {
   public:
    Ticket(Builds& builds, std::list<Entry>::iterator entry) : builds_(builds), entry_(entry) {}
    Ticket(const Ticket&) = delete;
    Ticket& operator=(const Ticket&) = delete;
    ~Ticket();
    /// Why a session of one of the derivations was condemned or refused meanwhile, if one was.
    [[nodiscard]] std::optional<std::string> condemned() const;

   private:
    Builds& builds_;
    std::list<Entry>::iterator entry_;
  };

  [[nodiscard]] Ticket begin(LedgerSession session, std::set<StorePath> derivations);

  /// The sessions that wait for this derivation now.
  [[nodiscard]] std::set<LedgerSession> waiting_for(const StorePath& derivation) const;
  /// A session of this derivation is open: whoever begins to wait for it becomes its parent.
  void session_opened(const StorePath& derivation, LedgerSession session);
  void session_closed(const StorePath& derivation, LedgerSession session);
  /// A session of this derivation was condemned or refused, for a reason of the host's.
  void condemned(const StorePath& derivation, const std::string& reason);

 private:
  mutable std::mutex mutex_;
  Ledger& ledger_;
  std::list<Entry> entries_;
  std::map<StorePath, LedgerSession> open_;
};

}  // namespace airlock
