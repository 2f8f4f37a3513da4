#include "daemon/mediator/waits.hpp"

#include <algorithm>

namespace airlock::waits {

namespace {

bool share_an_output(const policy::BuildPlan& one, const policy::BuildPlan& other) {
  const bool first_is_smaller = one.outputs.size() < other.outputs.size();
  const auto& smaller = first_is_smaller ? one.outputs : other.outputs;
  const auto& larger = first_is_smaller ? other.outputs : one.outputs;
  return std::any_of(smaller.begin(), smaller.end(),
                     [&](const auto& output) { return larger.contains(output.first); });
}

/// The requests that are starved, found by going from those that wait for a user to those that wait
/// for them, until nothing is added.
class Spread {
 public:
  Spread(const Sessions& open, const Requests& requests) : open_(open), requests_(requests) {}

  std::set<const Request*> run(bool locks_too) {
    for (const auto& request : requests_)
      if (!request.ended && (request.scarce.user || (locks_too && request.scarce.lock)))
        starved_.insert(&request);
    for (std::size_t before = 0; before != starved_.size();) {
      before = starved_.size();
      for (const auto& request : requests_)
        if (!request.ended && !starved_.contains(&request) && depends_on_starved(request))
          starved_.insert(&request);
    }
    return std::move(starved_);
  }

 private:
  [[nodiscard]] bool depends_on_starved(const Request& request) const {
    return std::any_of(starved_.begin(), starved_.end(), [&](const Request* other) {
      const auto session = open_.find(other->session);
      if (session != open_.end() && makes(request.plan, session->second)) return true;
      return request.scarce.lock.has_value() && share_an_output(request.plan, other->plan);
    });
  }

  const Sessions& open_;
  const Requests& requests_;
  std::set<const Request*> starved_;
};

}  // namespace

Work Work::of(const StorePath& path, const Derivation& derivation) {
  Work work{path, {}};
  for (const auto& [name, output] : derivation.outputs)
    if (output.path) work.outputs.insert(*output.path);
  return work;
}

bool makes(const policy::BuildPlan& plan, const Work& work) {
  return plan.derivations.contains(work.derivation) ||
         std::any_of(work.outputs.begin(), work.outputs.end(),
                     [&](const auto& output) { return plan.outputs.contains(output); });
}

std::vector<LedgerSession> cycle(LedgerSession session, const policy::BuildPlan& plan,
                                 const Sessions& open, const Requests& requests) {
  std::map<LedgerSession, LedgerSession> waits_for;  // each session above, and for which it waits
  std::vector<LedgerSession> todo{session};
  while (!todo.empty()) {
    const auto below = todo.back();
    todo.pop_back();
    const auto work = open.find(below);
    if (work == open.end()) continue;
    for (const auto& request : requests) {
      const auto above = request.session;
      if (above == session || waits_for.contains(above) || !makes(request.plan, work->second))
        continue;
      waits_for.emplace(above, below);
      if (const auto made = open.find(above); made != open.end() && makes(plan, made->second)) {
        std::vector<LedgerSession> chain{above};
        while (chain.back() != session) chain.push_back(waits_for.at(chain.back()));
        return chain;
      }
      todo.push_back(above);
    }
  }
  return {};
}

Starved starved(const Sessions& open, const Requests& requests, bool locks_too) {
  Starved result;
  std::map<LedgerSession, Clock::time_point> since;  // of those that wait by themselves
  for (const auto* request : Spread(open, requests).run(locks_too)) {
    if (!open.contains(request->session)) continue;
    result.sessions.insert(request->session);
    const auto began = request->scarce.user ? request->scarce.user : request->scarce.lock;
    if (!began) continue;
    const auto [entry, fresh] = since.emplace(request->session, *began);
    entry->second = std::min(entry->second, *began);
  }
  for (const auto& [session, began] : since) result.since = std::max(result.since, began);
  return result;
}

}  // namespace airlock::waits
