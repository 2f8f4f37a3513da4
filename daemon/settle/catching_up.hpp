#pragma once

#include <cstdint>
#include <functional>
#include <set>
#include <string>
#include <tl/expected.hpp>
#include <vector>

#include "daemon/settle/inspector.hpp"
#include "daemon/settle/registry.hpp"

namespace airlock {

/// Outputs that were valid for a while without all of their references.
struct Amended {
  std::set<StorePath> outputs;
  std::set<StorePath> references;  ///< that were added
};

/// What has become of the builds that began in that while.
struct CaughtUp {
  std::vector<std::string> added;     ///< one sentence for each path that was amended
  std::vector<std::string> breaches;  ///< one sentence for each derivation whose rules are broken
  std::int64_t seen = 0;              ///< the mark for the next time
};

using BeforeAdding = std::function<tl::expected<void, std::string>()>;

/// Looks once at what was registered after the mark and built from the outputs, or from what was
/// built from them, and adds the references that it mentions and Nix could not know of. Something
/// else may have to be added once this was: only a call that adds nothing is the last. An output
/// that breaks a rule now stays, as others may use it. `before_adding` is called once, if anything
/// is to be added. The error is one sentence.
[[nodiscard]] tl::expected<CaughtUp, std::string> catch_up(
    const StoreLayout& layout, const Registry& registry, Inspector& inspector,
    const std::vector<SigningKey>& keys, const Amended& amended, std::int64_t mark,
    const BeforeAdding& before_adding = {});

}  // namespace airlock
