#pragma once

#include <string>

#include "daemon/config/account.hpp"
#include "daemon/config/config.hpp"

namespace airlock::command {

/// The post-build hook: settles what the derivation (its full path) owes, tells airlock-fs, looks
/// again at what was amended lately, and then becomes the administrator's own hook, if there is
/// one. nix_config is what nix-daemon gives in NIX_CONFIG. Returns the exit code.
[[nodiscard]] int post_build(const Config& config, const Account& account,
                             const std::string& derivation, const std::string& nix_config);

/// `airlock settle`: prints a line for each debt and returns the exit code. All debts, and all that
/// was amended lately, when the derivation is empty: failure unless all are paid that are due,
/// which those of builds that go on are not. Else one (base name or full path), after airlockd has
/// let go of it: failure unless nothing is owed for it any more.
[[nodiscard]] int settle_debts(const Config& config, const Account& account,
                               const std::string& derivation, const std::string& nix_config);

}  // namespace airlock::command
