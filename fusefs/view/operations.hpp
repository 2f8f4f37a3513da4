#pragma once

#define FUSE_USE_VERSION 314
#include <fuse_lowlevel.h>

#include "fusefs/contacts.hpp"
#include "fusefs/view/features.hpp"
#include "fusefs/view/tree.hpp"

namespace airlock::fusefs {

/// What the handlers ask; the user data of libfuse's session.
struct View {
  Tree& tree;
  Contacts& contacts;
  ViewFeatures features;  ///< those that the kernel does not have are taken away at the start
};

/// Libfuse's table of handlers. Every handler
/// that would change something answers EROFS: the superblock itself has to be writable, or a socket
/// could not be bound on it.
[[nodiscard]] const fuse_lowlevel_ops& operations();

}  // namespace airlock::fusefs
