#pragma once

#include <string>
#include <string_view>

#include "daemon/policy/scene.hpp"
#include "daemon/policy/verdict.hpp"

namespace airlock::policy {

/// Whether what a lock of the session's own derivation names may be fetched for it: `path` from
/// `url`. A refusal does not fail the question that led here; to that the path just is not there.
[[nodiscard]] Verdict fetch_locked(const StorePath& path, std::string_view url,
                                   std::string_view scheme, const FetchConfig& config,
                                   const Scene& scene);

}  // namespace airlock::policy
