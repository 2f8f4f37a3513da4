#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <tl/expected.hpp>

#include "fusefs/boundary/store_path.hpp"

namespace airlock {

/// Where this Nix keeps its things. Read from NIX_STORE_DIR, NIX_STATE_DIR and NIX_CONF_DIR, or
/// Nix's defaults; never assumed elsewhere in the code. A value type.
struct StoreLayout {
  std::string store_dir = "/nix/store";
  std::string state_dir = "/nix/var/nix";
  std::string conf_dir = "/etc/nix";

  [[nodiscard]] static StoreLayout from_environment();

  /// "/nix/store/<base>"
  [[nodiscard]] std::string print(const StorePath& path) const;
  /// Parses exactly "<store_dir>/<base>", nothing below it. The error is one sentence.
  [[nodiscard]] tl::expected<StorePath, std::string> parse(std::string_view text) const;

  [[nodiscard]] std::string database() const { return state_dir + "/db/db.sqlite"; }
  [[nodiscard]] std::string daemon_socket() const { return state_dir + "/daemon-socket/socket"; }
  /// The folder of garbage collector roots that belongs to the airlock user: one folder a
  /// derivation (its base name), in it one symlink a granted path, named by its base name.
  [[nodiscard]] std::string debts() const { return state_dir + "/gcroots/airlock"; }
  /// Below it: a folder for each derivation whose outputs were amended while something ran that may
  /// have read the old references. Absent when there is none.
  [[nodiscard]] std::string recent() const { return debts() + "/recent"; }
};

}  // namespace airlock
