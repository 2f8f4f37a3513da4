#pragma once

#include <SQLiteCpp/SQLiteCpp.h>

#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "daemon/core/store_layout.hpp"
#include "fusefs/boundary/fd.hpp"

namespace airlock {

/// Nix's database, open to write: the statements that amending needs, in Nix's own terms. Throws
/// std::exception with one sentence from every function.
class WritableNixDatabase {
 public:
  using Id = std::int64_t;
  struct Path {
    Id id = 0;
    std::string hash;  ///< "sha256:<base16>"
    std::uint64_t size = 0;
    bool content_addressed = false;
  };

  explicit WritableNixDatabase(const StoreLayout& layout);

  [[nodiscard]] SQLite::Transaction begin();

  [[nodiscard]] std::optional<Path> find(const StorePath& path);
  /// The outputs of a derivation with known paths.
  [[nodiscard]] std::vector<std::pair<std::string, StorePath>> outputs_of(const StorePath& drv);
  [[nodiscard]] std::set<StorePath> references_of(Id path);
  [[nodiscard]] std::set<StorePath> closure_of(Id path);
  [[nodiscard]] std::set<Id> referrers_of(Id path);

  /// A valid path that was built here.
  struct Dependent {
    Id id = 0;
    StorePath path;
    /// As long as it is valid, and then which of its outputs the path is.
    std::optional<StorePath> derivation{};
    std::string output = "out";
  };
  /// What was built from `sources` or from anything that refers to them, or may have been, of what
  /// was registered after `mark`. `sources` need not be valid any more.
  [[nodiscard]] std::vector<Dependent> dependents_of(const std::set<StorePath>& sources, Id mark);
  /// The greatest id that was ever given.
  [[nodiscard]] Id last_id();

  [[nodiscard]] bool add_reference(Id referrer, Id reference);  ///< false: it was there
  void set_signatures(Id path, const std::vector<std::string>& signatures);
  void remove_references(Id path);
  void invalidate(Id path);

 private:
  [[nodiscard]] std::set<StorePath> paths(const char* query, Id path);

  StoreLayout layout_;
  Fd schema_lock_;
  SQLite::Database database_;
  SQLite::Statement find_;           ///< kept, as it is asked for every reference
  SQLite::Statement add_reference_;  ///< the same
};

}  // namespace airlock
