#pragma once

#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <tl/expected.hpp>
#include <vector>

#include "daemon/settle/inspection.hpp"
#include "daemon/settle/signing_key.hpp"

namespace airlock {

/// An output that refers to what its derivation forbids, now that its references are complete.
struct Violation {
  std::string output;
  StorePath path;
  std::string_view rule;
  StorePath reference;
  bool invalidated = false;  ///< no longer valid; otherwise something refers to it already
};

struct Amendment {
  std::map<std::string, std::size_t> added;  ///< by output: references that were missing
  std::vector<Violation> violations;
};

/// Nix's database of valid paths, to be amended by root beside a running Nix. Every use opens it
/// anew and checks first that it is of the one schema this was written for. Holds Nix's lock
/// against schema changes meanwhile. Errors are one sentence.
class Registry {
 public:
  explicit Registry(StoreLayout layout) : layout_(std::move(layout)) {}

  struct Built {
    Outputs outputs;         ///< all with a known path
    Outputs valid;           ///< those that are valid and not content-addressed
    bool any_valid = false;  ///< content-addressed ones included
  };
  [[nodiscard]] tl::expected<Built, std::string> built(const StorePath& derivation) const;

  /// In one transaction: adds the references that were found and are missing, signs again what was
  /// changed, applies the rules and takes the validity of what breaks them. A found path that is
  /// not valid is an error, and nothing is changed then. `before_commit` is for tests.
  [[nodiscard]] tl::expected<Amendment, std::string> amend(
      const Outputs& outputs, const Inspection& inspection, const std::vector<SigningKey>& keys,
      const std::function<void()>& before_commit = {}) const;

 private:
  StoreLayout layout_;
};

}  // namespace airlock
