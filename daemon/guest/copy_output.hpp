#pragma once

#include <string>

#include "daemon/guest/hash_rewriter.hpp"

namespace airlock::guest {

/// Copies the file, symlink or folder at `from` to `to`, which must not be there, with the
/// replacements made in contents, symlinks' targets and names. Of permissions only "executable" is
/// kept. Throws std::runtime_error with one sentence; what was written by then is left for the
/// caller to remove.
void copy_output(const std::string& from, const std::string& to, const Replacements& replacements);

}  // namespace airlock::guest
