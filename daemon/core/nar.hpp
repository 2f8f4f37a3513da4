#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>

#include "daemon/core/stream.hpp"

namespace airlock {

struct NarLimits {
  unsigned depth = 256;                         ///< folders within folders
  std::uint32_t name_length = 255;              ///< bytes of one entry's name
  std::uint32_t target_length = 4095;           ///< bytes of a symlink's target
  std::uint64_t size = std::uint64_t{1} << 40;  ///< bytes of the whole archive
};

/// Copies exactly one NAR from source to sink, checking its grammar on the way. Only the one form
/// that Nix writes is accepted, so that no two versions of Nix can read an archive differently:
/// padding is zero, every file has its contents, entries are in strictly rising order, no name is
/// "", ".", ".." or holds a slash or NUL, no target is empty or holds a NUL. Memory is constant (a
/// 64 KiB buffer and the current path's names); lengths above a limit are refused before anything
/// is read for them. Throws ConnectionOver with one sentence at the first fault; what was written
/// by then was checked, but it need not be all that was.
///
/// Returns the number of bytes of the archive. Does not flush the sink.
std::uint64_t copy_nar(Source& source, Sink& sink, const NarLimits& limits = {});

/// All that an archive says that is one regular file.
struct SingleFile {
  std::string content;
  bool executable = false;
  bool operator==(const SingleFile&) const = default;
};

/// Like copy_nar, and keeps what the archive holds when it is one regular file of at most `limit`
/// bytes: how a derivation uploaded as a NAR is read. file is empty otherwise.
std::uint64_t copy_nar(Source& source, Sink& sink, const NarLimits& limits, std::size_t limit,
                       std::optional<SingleFile>& file);

/// Writes the file tree at path (opened relative to directory_fd, without following symlinks, not
/// even in the middle of path) as a NAR, as `nix-store --dump` does. Holds one descriptor at a time
/// and does not recurse. Throws std::system_error when it cannot be read or is neither file, folder
/// nor symlink. Does not flush the sink.
void dump_nar(int directory_fd, const std::string& path, Sink& sink);

}  // namespace airlock
