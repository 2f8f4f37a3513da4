#pragma once

#include <functional>
#include <thread>

#include "daemon/mediator/builds.hpp"

namespace airlock {

/// A thread that ends what has waited too long, since those that wait cannot. Its end is waited for
/// by the destructor.
class BuildWatch {
 public:
  /// Condemns an open session; a session that is gone is passed over. Called without a lock.
  using End = std::function<void(const Builds::Ending& ending)>;
  /// How many build users there are. Called when that matters, again and again: it may change.
  using CountUsers = std::function<std::optional<BuildUsers>()>;

  BuildWatch(Builds& builds, CountUsers count_users, End end);
  BuildWatch(const BuildWatch&) = delete;
  BuildWatch& operator=(const BuildWatch&) = delete;
  ~BuildWatch();

 private:
  void run();

  Builds& builds_;
  const CountUsers count_users_;
  const End end_;
  std::thread thread_;  ///< last: it uses all of the above
};

}  // namespace airlock
