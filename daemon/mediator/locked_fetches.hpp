#pragma once

#include <condition_variable>
#include <map>
#include <mutex>
#include <optional>
#include <set>
#include <string>

#include "daemon/fetch/locks.hpp"
#include "daemon/mediator/fetch_turns.hpp"
#include "daemon/policy/scene.hpp"
#include "daemon/policy/verdict.hpp"

namespace airlock {

struct Call;

/// The locks of one session, and what has come of them: each is fetched once, however many clients
/// ask at a time. Thread-safe.
class LockedFetches {
 public:
  explicit LockedFetches(fetch::Locks locks) : locks_(std::move(locks)) {}

  struct Outcome {
    policy::Verdict verdict;
    std::string origin;
    std::string failure;  ///< one sentence; empty: the path is visible now
  };
  /// Called before a question about a path is decided. Without a value it is in no lock, or
  /// visible already. Otherwise it is made visible, if it may be and can be. Throws Condemned when
  /// the policy is to let a sandbox see no failure; wire::WatchedHungUp when the client is gone.
  [[nodiscard]] std::optional<Outcome> make_visible(const StorePath& path, Call& call);

  /// What a client is told that asks for a path which is neither visible nor locked and has the
  /// name of a fetched tree: it would go to the network next.
  [[nodiscard]] std::optional<std::string> hint(const StorePath& path,
                                                const policy::Scene& scene) const;

 private:
  /// Waits for its turn. Without a value it is this caller's to fetch; otherwise how it ended.
  [[nodiscard]] std::optional<std::string> take_turn(const StorePath& path, const Call& call);
  /// Empty when the path is visible now.
  [[nodiscard]] std::string fetch_one(const fetch::Lock& lock, Call& call);
  void finish(const StorePath& path, const std::string& failure);

  const fetch::Locks locks_;
  FetchTurns::Build turns_;
  std::mutex mutex_;  ///< guards what is below; held while nothing waits but for done_
  std::condition_variable done_;
  std::set<StorePath> under_way_;
  std::map<StorePath, std::string> failed_;  ///< not tried again: the answer would be another
};

}  // namespace airlock
