#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <tl/expected.hpp>
#include <vector>

#include "daemon/settle/inspection.hpp"
#include "daemon/settle/rules.hpp"
#include "daemon/settle/signing_key.hpp"

namespace airlock {

struct Amendment {
  std::map<std::string, std::size_t> added;  ///< by output: references that were missing
  std::vector<Violation> violations;
  std::set<std::string> taken_back;  ///< outputs that are no longer valid
};

/// Nix's database of valid paths, to be amended by root beside a running Nix. Every use opens it
/// anew and checks first that it is of the one schema this was written for. Holds Nix's lock
/// against schema changes meanwhile. Errors are one sentence.
class Registry {
 public:
  explicit Registry(StoreLayout layout) : layout_(std::move(layout)) {}

  struct Built {
    Outputs outputs;  ///< all with a known path
    Outputs valid;
  };
  [[nodiscard]] tl::expected<Built, std::string> built(const StorePath& derivation) const;

  /// When an output does not have all of the references that were found: a number such that all
  /// that was registered after the first of the outputs has a greater one.
  [[nodiscard]] tl::expected<std::optional<std::int64_t>, std::string> incomplete_since(
      const Outputs& outputs, const Inspection& inspection) const;

  /// In one transaction: adds the references that were found and are missing, signs again what was
  /// changed, and applies the rules. A found path that is not valid is an error, and nothing is
  /// changed then. `before_commit` is for tests.
  enum class Breach { take_back, tell };  ///< what becomes of outputs that break rules
  [[nodiscard]] tl::expected<Amendment, std::string> amend(
      const Outputs& outputs, const Inspection& inspection, const std::vector<SigningKey>& keys,
      Breach breach, const std::function<void()>& before_commit = {}) const;

  /// Outputs of other builds, of one derivation each where it is still known.
  struct Dependents {
    struct Group {
      std::optional<StorePath> derivation;
      Outputs outputs;
    };
    std::vector<Group> groups;  ///< in the order in which they were registered
    std::int64_t seen = 0;      ///< the mark for the next time
  };
  /// What was registered after the mark and built from the sources, and lacks a wanted reference.
  [[nodiscard]] tl::expected<Dependents, std::string> dependents(const std::set<StorePath>& sources,
                                                                 const std::set<StorePath>& wanted,
                                                                 std::int64_t mark) const;

 private:
  StoreLayout layout_;
};

}  // namespace airlock
