#pragma once

#define FUSE_USE_VERSION 314
#include <fuse_lowlevel.h>

namespace airlock::fusefs {

/// Libfuse's table of handlers. The session's user data is the Tree that they ask. Every handler
/// that would change something answers EROFS: the superblock itself has to be writable, or a socket
/// could not be bound on it.
[[nodiscard]] const fuse_lowlevel_ops& operations();

}  // namespace airlock::fusefs
