#pragma once

#include <string>
#include <vector>

#include "daemon/wire/messages.hpp"

/// The settings that a client sends along: what of them reaches upstream.
namespace airlock::policy {

/// Verbosity, cores, jobs and time limits, within caps; all else is dropped, the defaults of the
/// host's configuration hold. Upstream always keeps going, whatever was asked.
[[nodiscard]] wire::SetOptions passed_on(const wire::SetOptions& request);
/// For a client that sends none.
[[nodiscard]] wire::SetOptions unless_asked();

/// The names among them that would loosen the sandbox or name programs, builders or caches. They
/// are dropped like any other, but somebody may have counted on them.
[[nodiscard]] std::vector<std::string> restricted_settings(const wire::SetOptions& request);
/// One line for the client's user. names must not be empty.
[[nodiscard]] std::string restricted_warning(const std::vector<std::string>& names);

}  // namespace airlock::policy
