#pragma once

#include <string>
#include <string_view>
#include <tl/expected.hpp>

#include "daemon/config/config.hpp"

namespace airlock {

/// Lays what a configuration file says over `defaults`. The error is one sentence,
/// "<file>:<line>: …", that names the key and says what to write instead.
[[nodiscard]] tl::expected<Config, std::string> parse_config(std::string_view text,
                                                             const std::string& file,
                                                             const Config& defaults);

}  // namespace airlock
