#pragma once

#include <chrono>
#include <string>
#include <vector>

#include "fusefs/boundary/fd.hpp"

namespace airlock {

// Folders of garbage collector roots, as the airlock user sees them. All throw std::system_error.

enum class FolderLock { locked, in_use, absent };

/// Opens and locks (flock) a folder, waiting as long as that for whoever has it.
[[nodiscard]] FolderLock lock_folder(int parent, const std::string& name,
                                     std::chrono::milliseconds patience, Fd& folder);

/// The names in an open folder, in rising order.
[[nodiscard]] std::vector<std::string> entries_of(int folder);

/// Removes an open folder of files and links, in the order of their names, and then itself.
void remove_folder(int parent, const std::string& name, int folder);

}  // namespace airlock
