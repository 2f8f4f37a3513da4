#pragma once

#include <array>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <tl/expected.hpp>

#include "daemon/core/derivation.hpp"
#include "daemon/core/store_layout.hpp"

namespace airlock {

/// A rule of the derivation's own about what its outputs may refer to.
struct ReferenceRule {
  std::string_view name;
  bool allows;      ///< only what is listed is allowed; otherwise what is listed is not
  bool requisites;  ///< about the whole closure rather than the direct references
};
inline constexpr std::array<ReferenceRule, 4> reference_rules{{
    {"allowedReferences", true, false},
    {"allowedRequisites", true, true},
    {"disallowedReferences", false, false},
    {"disallowedRequisites", false, true},
}};

/// Output name to path: what Nix's database says of a derivation.
using Outputs = std::map<std::string, StorePath>;

/// What was learnt of one output by reading it and its derivation.
struct OutputFindings {
  std::set<StorePath> references;  ///< granted paths that it mentions
  /// The rules stated for it, by name: the paths that each lists.
  std::map<std::string, std::set<StorePath>, std::less<>> rules;

  bool operator==(const OutputFindings&) const = default;
};
using Inspection = std::map<std::string, OutputFindings>;

/// Reads the derivation's file and scans each of its outputs for the granted paths; without a
/// derivation nothing is known but the outputs. An output that is not there has no findings of
/// references; neither has one with unsafeDiscardReferences. What
/// is read here was written by builders: for a process without root's rights. Throws
/// std::exception with one sentence.
[[nodiscard]] Inspection inspect(const StoreLayout& layout,
                                 const std::optional<StorePath>& derivation, const Outputs& outputs,
                                 const std::set<StorePath>& granted);

/// Lines of words, made to be read by a process that trusts nothing of them.
[[nodiscard]] std::string encode(const Inspection& inspection);

/// Takes lines of encode only where they speak of the given outputs and known rules, and report
/// as references nothing but base names of store paths. The error is one sentence.
[[nodiscard]] tl::expected<Inspection, std::string> decode(std::string_view text,
                                                           const Outputs& outputs);

}  // namespace airlock
