#pragma once

#include <set>
#include <string>
#include <tl/expected.hpp>

#include "daemon/core/derivation.hpp"
#include "daemon/fetch/locks.hpp"

namespace airlock {

/// The locks that a derivation brings along: in flake.lock, npins/sources.json and nix/sources.json
/// at the top of its input sources, and in the files that its attribute airlockLocks names, below
/// paths of `closure`, that of its inputs. Of two locks for one path the first counts.
///
/// The error is one sentence: airlockLocks names something that is no lock file. A file that only
/// has the name of one, in a source, is passed over, with a line in airlockd's log.
[[nodiscard]] tl::expected<fetch::Locks, std::string> locks_of(const Derivation& derivation,
                                                               const StoreLayout& layout,
                                                               const std::set<StorePath>& closure);

}  // namespace airlock
