#pragma once

#include <string_view>

#include "daemon/core/stream.hpp"
#include "daemon/wire/log.hpp"
#include "daemon/wire/results.hpp"

/// What daemons before protocol 1.34 (Nix 2.3 to 2.7) need done for them.
namespace airlock {

/// One regular file, not executable, as a NAR: how they take flat files.
void write_file_nar(std::string_view content, Sink& sink);

/// How a build failed, as far as they tell: by the exit status of a command that failed for it
/// (100, and a bit for each special cause), later by the message alone. What is not recognised is a
/// misc_failure, which may be the host's.
[[nodiscard]] wire::BuildStatus status_of_old_failure(const wire::Error& error,
                                                      wire::Version version);

}  // namespace airlock
