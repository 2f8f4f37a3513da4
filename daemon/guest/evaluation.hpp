#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <tl/expected.hpp>
#include <vector>

#include "daemon/core/derivation.hpp"
#include "daemon/guest/call.hpp"
#include "daemon/guest/store_client.hpp"

namespace airlock::guest {

/// An evaluation as a derivation, so that Nix keeps, shares, locks and collects its result:
/// scripts/nix/instantiate.nix makes the same from outside.
struct Evaluation {
  std::string system;
  std::string program;                   ///< the real nix-instantiate, in the store
  std::vector<std::string> arguments;    ///< its arguments
  std::vector<std::string> search_path;  ///< airlockNixPath: NAME=STORE-PATH
  std::map<std::string, std::string> environment;
  std::set<StorePath> inputs;
};

/// The derivation and the path of its one output, a list of derivations, each a line as
/// nix-instantiate prints it. Pure.
[[nodiscard]] tl::expected<std::pair<Derivation, StorePath>, std::string> derivation_of(
    const StoreLayout& layout, const Evaluation& evaluation);

/// The call as an evaluation, if all that decides its result is in the store and visible: what it
/// names, the search path, the settings, the evaluator. A file of the build's own that names no
/// path is added to the store. Nothing when it must be run as it is. Throws ConnectionOver.
[[nodiscard]] std::optional<Evaluation> close(const StoreLayout& layout, Call call,
                                              const std::string& evaluator, StoreClient& store);

}  // namespace airlock::guest
