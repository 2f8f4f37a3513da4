#include "daemon/mediator/build_log.hpp"

#include <fmt/format.h>

#include "daemon/mediator/upstream.hpp"

namespace airlock {

void BuildLog::relay(const wire::LogMessage& message) {
  if (const auto* activity = std::get_if<wire::StartActivity>(&message)) {
    start(*activity);
  } else if (const auto* result = std::get_if<wire::ActivityResult>(&message)) {
    const auto id = ids_.find(result->id);
    if (id == ids_.end() || result->type != wire::result_build_log_line ||
        result->fields.size() != 1)
      return;
    const auto* line = std::get_if<std::string>(&result->fields.front());
    // Clients before 2.4 show only what comes as plain lines.
    if (version_ < wire::since::structured_errors && line != nullptr)
      send(wire::LogLine{*line + "\n"});
    else
      send(wire::ActivityResult{id->second, result->type, result->fields});
  } else if (const auto* stop = std::get_if<wire::StopActivity>(&message)) {
    const auto id = ids_.find(stop->id);
    if (id == ids_.end()) return;
    send(wire::StopActivity{id->second});
    ids_.erase(id);
  }
}

void BuildLog::start(const wire::StartActivity& activity) {
  if (activity.type != wire::activity_build || activity.fields.empty()) return;
  const auto* text = std::get_if<std::string>(&activity.fields.front());
  if (text == nullptr) return;
  const auto derivation = layout_.parse(*text);
  if (!derivation || withheld_.contains(*derivation)) return;
  if (ids_.size() >= most_activities) throw UpstreamLost("nix-daemon: too many activities at once");
  const auto id = next_id_++;
  ids_.emplace(activity.id, id);
  // The fields of a build: derivation, machine, round, rounds. The machine is the host's.
  send(wire::StartActivity{id,
                           activity.level,
                           wire::activity_build,
                           fmt::format("building '{}'", *text),
                           {*text, std::string(), std::uint64_t{1}, std::uint64_t{1}},
                           0});
}

void BuildLog::send(const wire::LogMessage& message) {
  wire::write_log_message(to_, message, version_);
  to_.flush();
}

}  // namespace airlock
