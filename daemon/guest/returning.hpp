#pragma once

#include <map>
#include <string>
#include <tl/expected.hpp>

#include "daemon/core/store_layout.hpp"
#include "daemon/guest/hash_rewriter.hpp"

namespace airlock::guest {

/// The outputs that this build has to make, by name, as Attributes has them. The error is
/// one sentence.
[[nodiscard]] tl::expected<std::map<std::string, std::string>, std::string> outputs_to_make(
    const StoreLayout& layout);

/// How outputs of a continuation become those of the same name. Throws std::runtime_error when one
/// is missing.
[[nodiscard]] Replacements replacements_for(const StoreLayout& layout,
                                            const std::map<std::string, StorePath>& continuation,
                                            const std::map<std::string, StorePath>& outer);

/// `airlock return DRV`: realises the derivation and makes this build's outputs of it. Returns the
/// exit status; what is wrong goes to stderr.
[[nodiscard]] int return_derivation(const std::string& derivation);

}  // namespace airlock::guest
