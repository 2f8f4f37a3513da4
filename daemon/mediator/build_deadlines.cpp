// What keeps a request to build from waiting for ever.
#include <fmt/format.h>

#include <algorithm>

#include "daemon/mediator/builds.hpp"

namespace airlock {

namespace {

using Clock = Builds::Clock;

/// Upstream takes a moment to tell that a wait is over.
constexpr std::chrono::seconds grace{2};
/// Whether build users are free is not told: as long as someone waits for one, this often.
constexpr std::chrono::milliseconds period{500};
/// As long as someone waits for a lock, which takes no time if it is short of users: this often.
constexpr std::chrono::seconds slow_period{5};

std::uint64_t seconds(std::chrono::seconds time) {
  return static_cast<std::uint64_t>(time.count());
}

/// Since when a request waits for something scarce while none of its own builds, which may be what
/// has it, runs.
std::optional<Clock::time_point> stalled_since(const waits::Scarce& scarce) {
  const auto& waits = scarce.user && scarce.machine ? std::min(scarce.user, scarce.machine)
                                                    : (scarce.user ? scarce.user : scarce.machine);
  if (!waits || !scarce.idle) return std::nullopt;
  return std::max(*waits, *scarce.idle);
}

}  // namespace

void Builds::changed() {
  has_changed_ = true;
  change_.notify_one();
}

bool Builds::wait_for_change(const std::optional<Clock::time_point>& until) {
  std::unique_lock lock(mutex_);
  const auto awaited = [this] { return has_changed_ || stopped_; };
  if (until)
    change_.wait_until(lock, *until, awaited);
  else
    change_.wait(lock, awaited);
  has_changed_ = false;
  return !stopped_;
}

void Builds::stop() {
  const std::lock_guard lock(mutex_);
  stopped_ = true;
  change_.notify_all();
}

bool Builds::may_want_users() const {
  const std::lock_guard lock(mutex_);
  return std::any_of(requests_.begin(), requests_.end(), [](const auto& request) {
    return request.scarce.user || request.scarce.lock;
  });
}

Builds::Reason Builds::overdue(const waits::Request& request, Clock::time_point now) const {
  if (now >= request.since + limits_.build_time)
    return policy::Condemnation{policy::rule::limits,
                                fmt::format("a build inside it took longer than allowed: {}",
                                            limit_hint("build-time", seconds(limits_.build_time)))};
  if (const auto since = stalled_since(request.scarce); since && now >= *since + limits_.starvation)
    return policy::Condemnation{
        policy::rule::starvation,
        fmt::format("a build inside it waited too long for a {}: {}; or set max-jobs lower in "
                    "nix.conf, or add "
                    "build users",
                    request.scarce.user ? "free build user" : "machine that builds",
                    limit_hint("starvation", seconds(limits_.starvation)))};
  return std::nullopt;
}

std::optional<Builds::Ending> Builds::deadlock(Clock::time_point now,
                                               const BuildUsers& users) const {
  auto starved = waits::starved(open_, requests_, false);
  bool is_one = starved.sessions.size() >= users.count && now >= starved.since + grace;
  if (!is_one) {
    // Who holds a lock is not known: it may be the build of another that waits for a user, too.
    starved = waits::starved(open_, requests_, true);
    is_one = starved.sessions.size() >= users.count && now >= starved.since + limits_.starvation;
  }
  if (!is_one) return std::nullopt;
  // The youngest has the least to lose, and nobody of the others waits longer because of it.
  return Ending{
      *starved.sessions.rbegin(),
      {policy::rule::starvation,
       fmt::format("all {0} build users of this machine are held by builds that wait for builds "
                   "inside them: set max-jobs below {0} in nix.conf, or add build users to the "
                   "group {1}",
                   users.count, users.group)}};
}

Clock::time_point Builds::next_look(Clock::time_point now) const {
  auto next = Clock::time_point::max();
  for (const auto& request : requests_) {
    if (request.ended) continue;
    next = std::min(next, request.since + limits_.build_time);
    const auto& scarce = request.scarce;
    if (scarce.user || scarce.machine) next = std::min(next, now + period);
    if (scarce.lock) next = std::min(next, now + slow_period);
  }
  return next;
}

void Builds::end(Ending ending, Outlook& outlook) {
  for (auto& request : requests_)
    if (request.session == ending.session && !request.ended) request.ended = ending.why;
  outlook.endings.push_back(std::move(ending));
}

Builds::Outlook Builds::look(Clock::time_point now, const std::optional<BuildUsers>& users) {
  const std::lock_guard lock(mutex_);
  Outlook outlook;
  for (const auto& request : requests_)
    if (!request.ended)
      if (auto reason = overdue(request, now)) end({request.session, *std::move(reason)}, outlook);
  if (users)
    if (auto ending = deadlock(now, *users)) end(*std::move(ending), outlook);
  if (const auto next = next_look(now); next != Clock::time_point::max()) outlook.next = next;
  return outlook;
}

}  // namespace airlock
