#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>

#include "daemon/policy/scene.hpp"
#include "daemon/wire/results.hpp"

namespace airlock::policy {

/// What a request to build would set in motion, as far as the session can know: the derivations
/// whose wanted outputs are not visible yet, through all their inputs.
struct BuildPlan {
  std::set<StorePath> derivations;
  std::map<StorePath, StorePath> outputs;  ///< all that these make, and which of them makes it
  std::set<StorePath> fixed_output;        ///< those of them that may reach the network
  std::set<StorePath> missing;             ///< wanted as they are, but not visible
  std::optional<StorePath> unreadable;     ///< a derivation that is not visible or does not parse
  std::optional<StorePath> own_output_of;  ///< one that would build an output of the session itself
};

[[nodiscard]] BuildPlan plan_build(const wire::Targets& targets, const Scene& scene);

}  // namespace airlock::policy
