#pragma once

#include <optional>
#include <set>
#include <string>
#include <tl/expected.hpp>

#include "daemon/core/derivation.hpp"
#include "daemon/fetch/locks.hpp"
#include "daemon/mediator/boundary.hpp"
#include "daemon/mediator/upstream.hpp"
#include "daemon/policy/condemnation.hpp"

namespace airlock {

/// What a session starts with. All of it follows from its derivation.
struct Opening {
  Derivation derivation;
  std::set<StorePath> inputs;  ///< the closure of the build's inputs: the first visible set
  Boundary::View view;         ///< from airlockNixPath and airlockNixConfig
  fetch::Locks locks;          ///< of its lock files, see lock_files.hpp
};

/// Why a build is refused: one sentence for its user.
struct Refusal {
  std::string reason;
  /// It would be the same on every host, so that a build that waits for this one may see it.
  bool follows_from_derivation = false;
  std::string_view rule = policy::rule::host;  ///< for those that wait, where it does not follow
};

/// Reads the derivation and decides whether it may have a session; nothing when it does not ask for
/// one (in static mode nobody has looked before). `announced`: a hook waits for the answer, and can
/// mount what the derivation wants elsewhere. Throws UpstreamLost.
[[nodiscard]] tl::expected<std::optional<Opening>, Refusal> prepare_session(
    const Config& config, const StorePath& path, bool announced, const UpstreamFactory& connect);

}  // namespace airlock
