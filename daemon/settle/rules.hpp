#pragma once

#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "daemon/settle/inspection.hpp"
#include "daemon/settle/nix_database.hpp"

namespace airlock {

/// An output that refers to what it must not, now that its references are complete.
struct Violation {
  /// In place of a rule's name: the output is content-addressed and can have no references.
  static constexpr std::string_view no_references = "fixed-output";

  std::string output;
  StorePath path;
  std::string_view rule;
  StorePath reference;
  bool invalidated = false;  ///< no longer valid; otherwise something refers to it already
};

/// The rows of outputs of one derivation that are valid, by output name.
using OutputRows = std::map<std::string, WritableNixDatabase::Path>;

/// What the derivation's rules, and Nix's own for content-addressed outputs, forbid of what the
/// outputs refer to. For within a transaction, after the references were added.
[[nodiscard]] std::vector<Violation> judge(WritableNixDatabase& database, const Outputs& outputs,
                                           const OutputRows& rows, const Inspection& inspection);

/// Takes the validity of the outputs in violation and of those that refer to them, unless something
/// that is no output of the derivation refers to them. Returns the names of all that went.
std::set<std::string> take_back(WritableNixDatabase& database, const OutputRows& rows,
                                std::vector<Violation>& violations);

}  // namespace airlock
