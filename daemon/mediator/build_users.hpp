#pragma once

#include <cstddef>
#include <optional>
#include <string>

#include "daemon/core/store_layout.hpp"

namespace airlock {

/// The accounts that Nix builds as, one a build at a time.
struct BuildUsers {
  std::string group;
  std::size_t count = 0;
};

/// The members of the group that nix.conf names as build-users-group. Without a value it cannot be
/// known: nix.conf has a mistake, there is no such group, or Nix makes up users as it needs them
/// (auto-allocate-uids). What nix-daemon was told by its own command line or environment is not
/// seen. Asks the name service. Thread-safe.
[[nodiscard]] std::optional<BuildUsers> find_build_users(const StoreLayout& layout);

}  // namespace airlock
