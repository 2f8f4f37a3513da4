#pragma once

#include <string>
#include <tl/expected.hpp>

#include "daemon/config/config.hpp"
#include "daemon/core/derivation.hpp"

namespace airlock::policy {

/// What a session may do with fixed-output derivations: what is configured, or what the session's
/// own derivation says by its attribute airlockFixedOutput ("open", "sealed", "closed") where that
/// is tighter. A looser word changes nothing, so that one derivation can be built on every host.
/// The error, for any other value, is one sentence.
[[nodiscard]] tl::expected<FixedOutputPolicy, std::string> fixed_output_of(
    const Derivation& derivation, FixedOutputPolicy configured);

}  // namespace airlock::policy
