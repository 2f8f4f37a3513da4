#include "daemon/mediator/builds.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace airlock {

namespace {

/// How often one that waits for a place looks whether its client is still there.
constexpr std::chrono::milliseconds look_out{100};

std::string name_of(LedgerSession session, const waits::Sessions& open) {
  const auto work = open.find(session);
  return work == open.end() ? std::string("a build") : work->second.derivation.base();
}

std::string describe(const std::vector<LedgerSession>& chain, const waits::Sessions& open) {
  auto text = name_of(chain.front(), open);
  for (std::size_t i = 1; i < chain.size(); ++i)
    text += (i == 1 ? " waits for " : ", which waits for ") + name_of(chain[i], open);
  return text + ", which asks for an output of the first: break the cycle";
}

}  // namespace

Builds::Ticket::~Ticket() {
  const std::lock_guard lock(builds_.mutex_);
  builds_.requests_.erase(request_);
  builds_.places_.notify_all();
}

void Builds::Ticket::upstream_waits_for(const waits::Scarce& scarce) {
  const std::lock_guard lock(builds_.mutex_);
  request_->scarce = scarce;
  builds_.changed();
}

void Builds::Ticket::await_others(const std::set<StorePath>& derivations, Clock::duration most,
                                  const std::function<void()>& still_wanted) {
  std::unique_lock lock(builds_.mutex_);
  const auto others = builds_.working_on(derivations, *request_);
  if (others.empty()) return;
  const auto until = Clock::now() + most;
  // As if upstream had said that it waits for their lock, which is what it would say.
  request_->scarce.lock = Clock::now();
  builds_.changed();
  while (!request_->ended && Clock::now() < until && builds_.any_is_there(others)) {
    lock.unlock();
    still_wanted();
    lock.lock();
    if (builds_.any_is_there(others)) builds_.places_.wait_for(lock, look_out);
  }
  request_->scarce.lock.reset();
  builds_.changed();
}

std::optional<policy::Condemnation> Builds::Ticket::condemned() const {
  const std::lock_guard lock(builds_.mutex_);
  return request_->condemned;
}

std::map<StorePath, std::string> Builds::Ticket::refused() const {
  const std::lock_guard lock(builds_.mutex_);
  return request_->refused;
}

std::optional<policy::Condemnation> Builds::Ticket::ended() const {
  const std::lock_guard lock(builds_.mutex_);
  return request_->ended;
}

Builds::Admission Builds::begin(LedgerSession session, const policy::BuildPlan& plan,
                                const std::function<void()>& still_wanted) {
  const auto since = Clock::now();
  std::unique_lock lock(mutex_);
  while (!has_place(session)) {
    if (Clock::now() >= since + limits_.build_time)
      return tl::unexpected(policy::Condemnation{
          policy::rule::limits,
          fmt::format(
              "its request to build waited for its turn, behind others of the same build, "
              "for longer than allowed: {}",
              limit_hint("build-time", static_cast<std::uint64_t>(limits_.build_time.count())))});
    lock.unlock();
    still_wanted();
    lock.lock();
    if (!has_place(session)) places_.wait_for(lock, look_out);
  }
  if (auto reason = refusal(session, plan)) return tl::unexpected(*std::move(reason));
  for (const auto& [child, work] : open_)
    if (waits::makes(plan, work)) ledger_.add_parent(child, session);
  requests_.push_front({session, plan, since, {}, {}, std::nullopt, std::nullopt, next_number_++});
  changed();
  return std::make_unique<Ticket>(*this, requests_.begin());
}

bool Builds::has_place(LedgerSession session) const {
  return std::count_if(requests_.begin(), requests_.end(), [&](const auto& request) {
           return request.session == session;
         }) < static_cast<std::ptrdiff_t>(limits_.builds);
}

/// Those that wait themselves are not waited for: all of them go on together.
std::set<std::uint64_t> Builds::working_on(const std::set<StorePath>& derivations,
                                           const waits::Request& asking) const {
  const auto own = open_.find(asking.session);
  std::set<std::uint64_t> numbers;
  for (const auto& request : requests_) {
    if (request.number >= asking.number || request.scarce.lock || request.ended) continue;
    if (own != open_.end() && waits::makes(request.plan, own->second)) continue;
    const auto& made = request.plan.derivations;
    if (std::any_of(derivations.begin(), derivations.end(),
                    [&](const auto& derivation) { return made.contains(derivation); }))
      numbers.insert(request.number);
  }
  return numbers;
}

bool Builds::any_is_there(const std::set<std::uint64_t>& numbers) const {
  return std::any_of(requests_.begin(), requests_.end(),
                     [&](const auto& request) { return numbers.contains(request.number); });
}

Builds::Reason Builds::refusal(LedgerSession session, const policy::BuildPlan& plan) const {
  if (const auto chain = waits::cycle(session, plan, open_, requests_); !chain.empty())
    return policy::Condemnation{
        policy::rule::no_cycle,
        fmt::format("a build would wait for itself: {}", describe(chain, open_))};
  if (requests_.size() >= limits_.machine_builds)
    return policy::Condemnation{
        policy::rule::limits,
        fmt::format("too many builds inside builds are asked for on this machine at once: {}",
                    limit_hint("machine-builds", limits_.machine_builds))};
  return std::nullopt;
}

std::set<LedgerSession> Builds::waiting_for(const waits::Work& work) const {
  const std::lock_guard lock(mutex_);
  std::set<LedgerSession> sessions;
  for (const auto& request : requests_)
    if (waits::makes(request.plan, work)) sessions.insert(request.session);
  return sessions;
}

void Builds::session_opened(waits::Work work, LedgerSession session) {
  const std::lock_guard lock(mutex_);
  for (const auto& request : requests_)
    if (waits::makes(request.plan, work)) ledger_.add_parent(session, request.session);
  open_.insert_or_assign(session, std::move(work));
}

void Builds::session_closed(LedgerSession session) {
  const std::lock_guard lock(mutex_);
  open_.erase(session);
}

void Builds::condemned(const StorePath& derivation, const policy::Condemnation& why) {
  const std::lock_guard lock(mutex_);
  waits::Work work{derivation, {}};
  std::set<LedgerSession> sessions;
  for (const auto& [session, opened] : open_) {
    if (opened.derivation != derivation) continue;
    work = opened;
    sessions.insert(session);
  }
  for (auto& request : requests_) {
    if (waits::makes(request.plan, work)) request.condemned = why;
    if (sessions.contains(request.session) && !request.ended) request.ended = why;
  }
}

void Builds::refused(const StorePath& derivation, const std::string& reason) {
  const std::lock_guard lock(mutex_);
  for (auto& request : requests_)
    if (request.plan.derivations.contains(derivation)) request.refused.emplace(derivation, reason);
}

}  // namespace airlock
