#pragma once

#include <functional>
#include <set>
#include <string>
#include <tl/expected.hpp>

#include "daemon/config/config.hpp"
#include "daemon/ledger/ledger.hpp"
#include "daemon/mediator/session.hpp"

namespace airlock {

/// A mediator on a plain socket: no sandbox, no view, no root. One session for all who connect.
struct ProxyOptions {
  std::string listen;  ///< where the socket is made
  mode_t mode = 0600;  ///< of the socket: whoever may connect acts as this process's user
  Profile profile = Profile::strict;
  std::set<StorePath> roots;  ///< their closure is what the session sees at first
  bool use_database = false;  ///< whether the layout's database is the one behind upstream
};

/// Serves until TERM or INT (an empty value), or, in strict, until something happened that a
/// sandbox must not learn of (an error: what). Those signals must be blocked in every thread. Calls
/// `ready` once the socket listens. Every operation goes to the ledger.
[[nodiscard]] tl::expected<void, std::string> serve_proxy(const Config& config,
                                                          const ProxyOptions& options,
                                                          Ledger& ledger,
                                                          const std::function<void()>& ready);

}  // namespace airlock
