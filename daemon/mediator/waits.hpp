#pragma once

#include <chrono>
#include <list>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "daemon/ledger/ledger.hpp"
#include "daemon/policy/build_plan.hpp"
#include "daemon/policy/condemnation.hpp"

/// The waits-for graph as plain values: open sessions, their requests to build, and what follows
/// from both. Not thread-safe; Builds holds it under its lock.
namespace airlock::waits {

using Clock = std::chrono::steady_clock;

/// A derivation with its outputs: what an open session makes.
struct Work {
  StorePath derivation;
  std::set<StorePath> outputs;
  [[nodiscard]] static Work of(const StorePath& path, const Derivation& derivation);
};

/// What upstream says that it waits for on behalf of a request, each from when on.
struct Scarce {
  std::optional<Clock::time_point> user;     ///< a build user
  std::optional<Clock::time_point> machine;  ///< a slot of a remote builder
  std::optional<Clock::time_point> lock;     ///< another build of the same output
  /// None of the request's builds runs since then; without a value one does.
  std::optional<Clock::time_point> idle = Clock::time_point::min();
};

/// A request to build that is being worked on.
struct Request {
  LedgerSession session = 0;
  policy::BuildPlan plan;
  Clock::time_point since;
  Scarce scarce;
  std::map<StorePath, std::string> refused;       ///< derivations of the plan, for what they say
  std::optional<policy::Condemnation> condemned;  ///< why something that it waits for was ended
  std::optional<policy::Condemnation> ended;      ///< why its own session is being ended
  std::uint64_t number = 0;                       ///< grows with each, and is never used again
};

using Requests = std::list<Request>;
using Sessions = std::map<LedgerSession, Work>;

/// Would this plan make something that the work makes? Derivations may share an output, so outputs
/// are compared; by name too, for a session whose outputs were not read.
[[nodiscard]] bool makes(const policy::BuildPlan& plan, const Work& work);

/// The sessions from one that waits, directly or through others, for `session`, and itself makes
/// something that the plan would make, down to `session`; empty when there is none.
[[nodiscard]] std::vector<LedgerSession> cycle(LedgerSession session, const policy::BuildPlan& plan,
                                               const Sessions& open, const Requests& requests);

/// Open sessions that cannot end before a build user becomes free: such a session has a request
/// that waits for one, or for an open session of this kind, or for the lock of a request of this
/// kind. Each of them holds a build user itself.
struct Starved {
  std::set<LedgerSession> sessions;
  Clock::time_point since = Clock::time_point::min();  ///< when the last of them began to wait
};
/// With `locks_too`, whatever waits for the lock of an unknown holder is taken to be starved.
[[nodiscard]] Starved starved(const Sessions& open, const Requests& requests, bool locks_too);

}  // namespace airlock::waits
