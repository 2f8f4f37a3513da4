#include "daemon/mediator/upstream_waits.hpp"

#include <algorithm>

#include "daemon/mediator/upstream.hpp"

namespace airlock {

/// Nix names what it waits for in words only: "waiting for UID to build '…'" (2.8), "waiting for a
/// free build user ID for '…'" (later), "waiting for a machine to build '…'", "waiting for lock on
/// '…'". What is quoted or coloured is the sandbox's own choice of a name, and not looked at.
std::optional<UpstreamWaits::Kind> UpstreamWaits::kind_of(const wire::StartActivity& activity) {
  if (activity.type == wire::activity_build) return Kind::build;
  if (activity.type != wire::activity_build_waiting) return std::nullopt;
  const auto words = activity.text.substr(0, activity.text.find_first_of("'\"\x1b/"));
  const auto say = [&](std::string_view part) { return words.find(part) != std::string::npos; };
  if (say("UID") || say("build user")) return Kind::user;
  if (say("a machine")) return Kind::machine;
  if (say("lock")) return Kind::lock;
  return std::nullopt;
}

bool UpstreamWaits::note(const wire::LogMessage& message, waits::Clock::time_point when) {
  if (const auto* start = std::get_if<wire::StartActivity>(&message)) {
    const auto kind = kind_of(*start);
    if (kind && activities_.size() >= most_activities)
      throw UpstreamLost("nix-daemon: too many activities at once");
    return kind && activities_.try_emplace(start->id, Activity{*kind, when}).second;
  }
  const auto* stop = std::get_if<wire::StopActivity>(&message);
  if (stop == nullptr) return false;
  const auto activity = activities_.find(stop->id);
  if (activity == activities_.end()) return false;
  if (activity->second.kind == Kind::build) last_built_ = when;
  activities_.erase(activity);
  return true;
}

std::optional<waits::Clock::time_point> UpstreamWaits::earliest(Kind kind) const {
  std::optional<waits::Clock::time_point> earliest;
  for (const auto& [id, activity] : activities_)
    if (activity.kind == kind && (!earliest || activity.since < *earliest))
      earliest = activity.since;
  return earliest;
}

waits::Scarce UpstreamWaits::now() const {
  waits::Scarce scarce{earliest(Kind::user), earliest(Kind::machine), earliest(Kind::lock), {}};
  if (!earliest(Kind::build)) scarce.idle = last_built_;
  return scarce;
}

}  // namespace airlock
