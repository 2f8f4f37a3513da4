#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "daemon/core/store_layout.hpp"

namespace airlock::guest {

/// The folder that the view is bound at: "/nix/var".
[[nodiscard]] std::string view_of(const StoreLayout& layout);

/// What decides an evaluation beside its call: the configuration of whoever calls.
struct Surroundings {
  std::map<std::string, std::string> environment;  ///< what the evaluation is to be given of it
  std::set<StorePath> inputs;                      ///< what that names
  std::vector<std::string> channels;  ///< NAME=STORE-PATH, the search path without NIX_PATH
};

/// This process's, if a sandbox of the evaluation's own can have the same: the view's settings and
/// channels, NIX_CONFIG, the variables that nixpkgs reads, and what the build may fetch. Nothing
/// where there is more, such as another nix.conf, files below HOME, or a setting that names a file.
/// The view is what says which settings the build has, since it holds with structured attributes
/// and whatever a builder did to its variables.
[[nodiscard]] std::optional<Surroundings> closed_surroundings(const StoreLayout& layout);

}  // namespace airlock::guest
