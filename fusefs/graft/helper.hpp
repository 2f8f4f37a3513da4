#pragma once

#include <string>

#include "fusefs/boundary/fd.hpp"
#include "fusefs/graft/store_mounts.hpp"

namespace airlock::fusefs {

/// The graft helper's life: makes its mount namespaces, says `done`, then answers every `grant` on
/// and `session_resumed` on the channel with `succeeded` or `failed`, one after the other, until
/// the channel closes. Runs in a process of its own without threads, which its parent ends when an
/// answer takes too long.
///
/// grant here: request; strings: store path, derivation, device and inode of the chroot folder;
/// descriptor: a pidfd of the sandbox's first process. session_resumed here: request; strings: the
/// folder in the view, then the devices of dead views; descriptor: likewise.
int run_graft_helper(Fd channel, const GraftSources& sources, bool may_link);

/// The hidden subcommands that start it, followed by the store folder,
/// the view and its target; the second never makes hard
/// links. And the descriptor on which it finds its channel.
inline constexpr const char* graft_helper_command = "graft-helper";
inline constexpr const char* copying_graft_helper_command = "copying-graft-helper";
inline constexpr int graft_helper_channel = 3;

}  // namespace airlock::fusefs
