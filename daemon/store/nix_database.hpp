#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <tl/expected.hpp>

#include "daemon/core/store_layout.hpp"
#include "daemon/wire/results.hpp"

struct sqlite3;

namespace airlock {

/// Nix's own database, read-only and as an unprivileged user: the quick way to a path's info.
///
/// Read so, it is current only while some nix-daemon worker has it open too; during a session one
/// always has, the worker that builds the session's derivation. Any trouble is an error, and the
/// caller asks upstream instead. No read transaction outlives a call. Thread-safe.
class NixDatabase {
 public:
  [[nodiscard]] static tl::expected<std::unique_ptr<NixDatabase>, std::string> open(
      const StoreLayout& layout);
  NixDatabase(const NixDatabase&) = delete;
  NixDatabase& operator=(const NixDatabase&) = delete;
  ~NixDatabase();

  /// Without a value the path is not valid.
  [[nodiscard]] tl::expected<std::optional<wire::PathInfo>, std::string> path_info(
      const StorePath& path);

  /// The paths and all that they refer to, by one query, whose cost grows with the closure and not
  /// with the store. Without a value one of the paths is not valid.
  [[nodiscard]] tl::expected<std::optional<std::set<StorePath>>, std::string> closure(
      const std::set<StorePath>& paths);

 private:
  struct Statement;
  NixDatabase(StoreLayout layout, sqlite3* handle);
  [[nodiscard]] tl::expected<std::set<StorePath>, std::string> references_of(std::int64_t id);
  /// Every row's first column as a path.
  [[nodiscard]] tl::expected<std::set<StorePath>, std::string> paths_of(Statement& statement);

  StoreLayout layout_;
  std::mutex mutex_;
  sqlite3* handle_;
  std::unique_ptr<Statement> info_;
  std::unique_ptr<Statement> references_;
  std::unique_ptr<Statement> closure_;
};

}  // namespace airlock
