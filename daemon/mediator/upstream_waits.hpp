#pragma once

#include <map>
#include <optional>

#include "daemon/mediator/waits.hpp"
#include "daemon/wire/log.hpp"

namespace airlock {

/// What a request to build waits for on the host, as upstream's log tells it. Never shown inside.
/// Not thread-safe.
class UpstreamWaits {
 public:
  /// Takes one log message; true when it changed what now() says. Throws UpstreamLost when more has
  /// begun and not ended than is remembered.
  bool note(const wire::LogMessage& message, waits::Clock::time_point when);
  [[nodiscard]] waits::Scarce now() const;

 private:
  enum class Kind { build, user, machine, lock };
  [[nodiscard]] static std::optional<Kind> kind_of(const wire::StartActivity& activity);
  [[nodiscard]] std::optional<waits::Clock::time_point> earliest(Kind kind) const;

  struct Activity {
    Kind kind = Kind::build;
    waits::Clock::time_point since;
  };
  std::map<std::uint64_t, Activity> activities_;
  waits::Clock::time_point last_built_ = waits::Clock::time_point::min();
};

}  // namespace airlock
