#pragma once

#include <cstdint>
#include <string>
#include <system_error>
#include <tl/expected.hpp>
#include <vector>

#include "fusefs/boundary/fd.hpp"

namespace airlock::fusefs {

/// What a file of the store is, without what differs between hosts.
struct StoreFile {
  enum class Kind { folder, file, executable, link };
  Kind kind = Kind::file;
  std::uint64_t size = 0;  ///< 0 for folders
};

struct ListedFile {
  std::string name;
  StoreFile file;
};

/// Reads below the store folder. Every path is "<base>" or "<base>/<name>/…", walked beneath the
/// folder without following any symlink and without leaving its filesystem. Nothing that is not a
/// folder, regular file or symlink is found, nor a store path that others than its owner may still
/// write: what Nix has registered is read-only. Stateless, so safe to use from all threads.
class StoreFiles {
 public:
  template <typename T>
  using Result = tl::expected<T, std::errc>;

  /// store: the store folder, O_PATH; not owned, and held by the caller for as long as this.
  explicit StoreFiles(int store) : store_(store) {}

  [[nodiscard]] Result<StoreFile> look(const std::string& path) const;
  /// A number that tells a store path from one that had its name before: it may have been collected
  /// and built again, with other bytes. The links that a file has make no difference.
  [[nodiscard]] std::uint64_t birth(const std::string& base) const;
  [[nodiscard]] Result<std::string> link_target(const std::string& path) const;
  /// Up to size bytes from offset; fewer at the end of the file only.
  [[nodiscard]] Result<std::string> read(const std::string& path, std::size_t size,
                                         std::uint64_t offset) const;
  /// In order.
  [[nodiscard]] Result<std::vector<ListedFile>> list(const std::string& path) const;

 private:
  int store_;
};

}  // namespace airlock::fusefs
