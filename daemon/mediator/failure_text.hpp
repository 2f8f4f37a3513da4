#pragma once

#include <string>
#include <string_view>

#include "daemon/wire/results.hpp"

namespace airlock {

/// Of upstream's message about a build that failed, what is upstream's own: the log follows it, and
/// a builder can write into that whatever upstream could say.
[[nodiscard]] std::string_view reason_in(std::string_view message);

/// What a client is told of a build that failed. Upstream's own text ends with the last lines of
/// the log, as many as the host's settings say, and may speak of the host's disk; of it is kept
/// what follows from the derivation. The client had the log as it was written.
[[nodiscard]] std::string failure_text(const StorePath& derivation, const wire::BuildResult& failed,
                                       const StoreLayout& layout);

}  // namespace airlock
