#pragma once

#include <functional>
#include <string>
#include <tl/expected.hpp>

#include "daemon/config/account.hpp"
#include "daemon/config/config.hpp"

namespace airlock::command {

using AccountLookup = std::function<tl::expected<Account, std::string>(const std::string& user,
                                                                       const std::string& group)>;

/// What nix-daemon gives to its pre-build hook.
struct PreBuild {
  std::string derivation;  ///< full path of the .drv
  std::string chroot;      ///< full path of the sandbox's root; empty when there is no sandbox
};

/// Fails the build so that its user reads why, and returns the exit code that does it. Of a hook
/// that exits non-zero Nix tells the user the exit code alone; a line on standard output that is no
/// command of the hook's protocol is fatal as well, and quoted in the error. Nothing else may have
/// been printed.
[[nodiscard]] int refuse_build(const std::string& sentence);

/// The pre-build hook. For a derivation that asks it announces the chroot folder to airlock-fs and
/// prints the entry that puts the view into the sandbox; for any other it prints nothing, whether
/// airlock runs or not. The administrator's own hook runs in both cases. Returns the exit code, or
/// does not return: a chained hook may take the place of this process.
[[nodiscard]] int pre_build(const Config& config, const Account& account, const PreBuild& build);

}  // namespace airlock::command
