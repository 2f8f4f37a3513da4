#pragma once

#include <string>
#include <tl/expected.hpp>
#include <utility>
#include <vector>

#include "daemon/core/derivation.hpp"

/// The settings that a derivation wants in its view's nix.conf.
namespace airlock::policy {

/// Name and value, in the order of their names or lines.
using NixSettings = std::vector<std::pair<std::string, std::string>>;

/// The attribute airlockNixConfig: lines as in nix.conf ("name = value"; empty ones and comments
/// are left out), or with structured attributes also a set of strings, numbers, booleans and lists,
/// or a list of lines. Refused are what is no setting, what is set twice, `include`, and what would
/// lead the client away from the airlock. Whatever else is set concerns the client alone: what it
/// sends to airlockd is decided there. The error is one sentence.
[[nodiscard]] tl::expected<NixSettings, std::string> nix_config_of(const Derivation& derivation);

}  // namespace airlock::policy
