#pragma once

#include <string>

#include "daemon/settle/registry.hpp"

namespace airlock {

/// What was added, of outputs called by their names: "added 2 references to 'out'".
[[nodiscard]] std::string sentence_of(const Amendment& amendment);

/// What was violated and what has become of the outputs; empty when nothing was.
[[nodiscard]] std::string violations_of(const StoreLayout& layout, const Outputs& outputs,
                                        const Amendment& amendment);

}  // namespace airlock
