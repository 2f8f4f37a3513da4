#pragma once

#include <sys/stat.h>

#include <cstdint>
#include <string_view>

#include "fusefs/view/session_tree.hpp"
#include "fusefs/view/store_files.hpp"

namespace airlock::fusefs {

/// The number that a sandbox sees as a file's inode: from its path in the session's folder alone,
/// so that it is the same on every host and at every build. Never 0. Pure.
[[nodiscard]] std::uint64_t inode_number(std::string_view path);

/// Everything belongs to root, is a second after the epoch old as in Nix's store, and has one link.
/// Pure.
[[nodiscard]] struct stat attributes_of(SessionTree::Kind kind, std::uint64_t size,
                                        std::string_view path);
[[nodiscard]] struct stat attributes_of(const StoreFile& file, std::string_view path);

/// The type bits of st_mode, for listings.
[[nodiscard]] mode_t type_of(SessionTree::Kind kind);
[[nodiscard]] mode_t type_of(StoreFile::Kind kind);

}  // namespace airlock::fusefs
