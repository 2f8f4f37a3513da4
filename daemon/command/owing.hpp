#pragma once

#include <string>

#include "daemon/config/config.hpp"

namespace airlock::command {

/// The record that airlock-fs keeps while a session of this derivation is not closed.
[[nodiscard]] std::string session_record(const Config& config, const StorePath& derivation);

/// Whether the post-build hook has anything to do for this derivation (its full path): its build
/// was granted something, or airlock-fs has a session of it.
[[nodiscard]] bool may_owe(const Config& config, const std::string& derivation);

/// Whether outputs were amended lately, so that any build may have missed references of its inputs.
[[nodiscard]] bool amended_lately(const Config& config);

}  // namespace airlock::command
