#pragma once

#include <cstdint>
#include <functional>
#include <map>
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

  /// Store paths, each with the size of its archive in bytes.
  using Sizes = std::map<StorePath, std::uint64_t>;
  using Known = std::function<bool(const StorePath&)>;
  /// The paths and all that they refer to, but for those, and what only they lead to, that `known`
  /// (may be empty) holds. Read in one transaction, and the cost grows with the answer, not with
  /// the store. Without a value one of the paths is not valid. `known` must not call back.
  [[nodiscard]] tl::expected<std::optional<Sizes>, std::string> closure(
      const std::set<StorePath>& paths, const Known& known);

 private:
  struct Statement;
  NixDatabase(StoreLayout layout, sqlite3* handle);
  [[nodiscard]] tl::expected<std::set<StorePath>, std::string> references_of(std::int64_t id);
  class Walk;

  StoreLayout layout_;
  std::mutex mutex_;
  sqlite3* handle_;
  std::unique_ptr<Statement> info_;
  std::unique_ptr<Statement> references_;
  std::unique_ptr<Statement> valid_;
  std::unique_ptr<Statement> referred_;
  std::unique_ptr<Statement> numbered_;
};

}  // namespace airlock
