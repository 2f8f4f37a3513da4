#pragma once

#include <sys/types.h>

#include <string>
#include <tl/expected.hpp>

#include "fusefs/boundary/fd.hpp"

namespace airlock::wire {

// Stream sockets by a file's name, of any length: a socket's address holds 107 bytes, and what is
// longer goes by a descriptor of its folder. Errors are one sentence.

[[nodiscard]] tl::expected<Fd, std::string> connect_unix(const std::string& path);

/// Binds and listens; the file has exactly this mode. One that is there is replaced when nobody
/// listens at it any more, and is an error otherwise.
[[nodiscard]] tl::expected<Fd, std::string> listen_unix(const std::string& path, mode_t mode);

}  // namespace airlock::wire
