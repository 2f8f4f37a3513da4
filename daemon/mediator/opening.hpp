#pragma once

#include <optional>
#include <set>
#include <string>
#include <tl/expected.hpp>

#include "daemon/core/derivation.hpp"
#include "daemon/fetch/locks.hpp"
#include "daemon/mediator/boundary.hpp"
#include "daemon/mediator/upstream.hpp"

namespace airlock {

/// What a session starts with. All of it follows from its derivation.
struct Opening {
  Derivation derivation;
  std::set<StorePath> inputs;        ///< the closure of the build's inputs: the first visible set
  Boundary::SearchPath search_path;  ///< from airlockNixPath
  fetch::Locks locks;                ///< of its lock files, see lock_files.hpp
};

/// Reads the derivation and decides whether it may have a session; nothing when it does not ask for
/// one (in static mode nobody has looked before). The error is one sentence for the user whose
/// build is refused. Throws UpstreamLost.
[[nodiscard]] tl::expected<std::optional<Opening>, std::string> prepare_session(
    const Config& config, const StorePath& path, const UpstreamFactory& connect);

}  // namespace airlock
