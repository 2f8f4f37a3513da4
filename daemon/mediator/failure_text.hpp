#pragma once

#include <string>

#include "daemon/wire/results.hpp"

namespace airlock {

/// What a client is told of a build that failed. Upstream's own text ends with the last lines of
/// the log, as many as the host's settings say, and may speak of the host's disk; of it is kept
/// what follows from the derivation. The client had the log as it was written.
[[nodiscard]] std::string failure_text(const StorePath& derivation, const wire::BuildResult& failed,
                                       const StoreLayout& layout);

}  // namespace airlock
