#pragma once

#include <cstdint>

#include "daemon/fetch/download.hpp"

namespace airlock::fetch {

struct UnpackLimits {
  std::uint64_t bytes = 4ull << 30;   ///< of all files together
  std::uint64_t entries = 1'000'000;  ///< files, folders, also those only implied by names, links
  unsigned depth = 128;               ///< folders within folders
};

/// Unpacks an archive (tar or zip; gzip, bzip2, xz, zstd), read from a descriptor that can be
/// rewound, into an empty folder. Files, folders and symlinks only, all below the folder: a name
/// that leads out of it, by "..", a slash in front or a symlink on the way, a hard link or a device
/// ends it. Of a file's mode only the owner's x is kept. Names are the bytes that the archive has;
/// those that a zip says are in UTF-8 have their accents composed, as libarchive has them (Nix on
/// Linux unpacks no such zip). For one thread: it changes the locale of its own. The error is one
/// sentence.
[[nodiscard]] Done unpack(int archive, int folder, const UnpackLimits& limits);

/// The name of the one folder that is all there is at the top, as fetchTarball takes it off; empty
/// where there is more or something else. An empty folder is an error.
[[nodiscard]] tl::expected<std::string, std::string> only_folder(int folder);

}  // namespace airlock::fetch
