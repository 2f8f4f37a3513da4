#pragma once

#include "daemon/fetch/download.hpp"
#include "daemon/fetch/locks.hpp"

namespace airlock::fetch {

/// Writes the tree of a revision as a tar archive to a descriptor, with the `git` command in a
/// folder that is empty and this process's own. git gets no configuration, no hooks, no passwords,
/// follows no redirect, and connects only to the addresses that were found to be allowed. The tree
/// is as the revision has it: no attribute of the repository's changes what is written. The error
/// is one sentence.
[[nodiscard]] Done fetch_revision(const Origin& origin, const std::string& folder, int to,
                                  const FetchConfig& config);

}  // namespace airlock::fetch
