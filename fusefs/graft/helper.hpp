#pragma once

#include <string>

#include "fusefs/boundary/fd.hpp"

namespace airlock::fusefs {

/// The graft helper's life: makes its mount namespaces, says `done`, then answers every `grant` on
/// the channel with `succeeded` or `failed`, one after the other, until the channel closes. Runs in
/// a process of its own without threads, which its parent ends when an answer takes too long.
///
/// grant here: request; strings: store path, derivation, device and inode of the chroot folder;
/// descriptor: a pidfd of the sandbox's first process.
int run_graft_helper(Fd channel, const std::string& store_dir, bool may_link);

/// The hidden subcommands that start it, followed by the store folder; the second never makes hard
/// links. And the descriptor on which it finds its channel.
inline constexpr const char* graft_helper_command = "graft-helper";
inline constexpr const char* copying_graft_helper_command = "copying-graft-helper";
inline constexpr int graft_helper_channel = 3;

}  // namespace airlock::fusefs
