#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <tl/expected.hpp>
#include <vector>

#include "daemon/core/content_address.hpp"
#include "daemon/core/store_layout.hpp"

namespace airlock {

/// One output as the derivation file states it; all three empty for a deferred one.
struct DerivationOutput {
  /// Absent when it is only known after the build. Of a fixed output it is a claim: Nix computes
  /// the path from the hash and the derivation's name, and so must whoever relies on it (path_of).
  std::optional<StorePath> path;
  /// "sha256", "r:sha256", "text:sha256", "git:sha1"; "" if input-addressed
  std::string hash_algorithm;
  std::string hash;  ///< base16; "impure" for an impure one; "" if floating

  /// What a fixed output's content must be; absent for any other kind.
  [[nodiscard]] std::optional<ContentAddress> content_address() const;
  bool operator==(const DerivationOutput&) const = default;
};

enum class DerivationKind { input_addressed, fixed_output, floating, deferred, impure };

/// A parsed .drv file (ATerm, "Derive(…)"). Dynamic derivations ("DrvWithVersion(…)") are refused.
struct Derivation {
  std::map<std::string, DerivationOutput> outputs;
  std::map<StorePath, std::set<std::string>> input_derivations;
  std::set<StorePath> input_sources;
  std::string platform;
  std::string builder;
  std::vector<std::string> arguments;
  std::map<std::string, std::string> environment;

  bool operator==(const Derivation&) const = default;

  /// Parses the text of a .drv file. Strict: only the form that Nix writes is accepted, so that
  /// parse(text)->unparse() == text always. Nothing may follow, every path must lie in the store
  /// folder, sets are in rising order, strings use only the escapes \n \r \t \" \\ and hold none of
  /// these characters bare. What is parsed has passed check. The error is one sentence.
  [[nodiscard]] static tl::expected<Derivation, std::string> parse(const StoreLayout& layout,
                                                                   std::string_view text);
  /// parse, for a text that is to be the store path of this name ("hello-1.0.drv"). The path that a
  /// fixed-output derivation states for its output must be the one its hash gives: Nix ignores what
  /// is stated there, so whoever believed it could be led to any path.
  [[nodiscard]] static tl::expected<Derivation, std::string> parse_as(const StoreLayout& layout,
                                                                      std::string_view name,
                                                                      std::string_view text);
  /// The exact text that Nix writes.
  [[nodiscard]] std::string unparse(const StoreLayout& layout) const;

  /// What Nix requires of a derivation whatever form it arrives in; call it on one that was not
  /// made by parse. At least one output, all of one kind, with well-formed hashes and names; a
  /// single fixed output named "out"; inputs that are derivations; `__json` that is an object.
  [[nodiscard]] tl::expected<void, std::string> check() const;

  /// Of a derivation that has passed check.
  [[nodiscard]] DerivationKind kind() const;
  /// input_sources and the keys of input_derivations: what the .drv file's references must be.
  [[nodiscard]] std::set<StorePath> references() const;

  // Attributes are read as Nix reads them: where there are structured attributes (`__json`), the
  // environment is not looked at. One of the wrong type counts as absent; Nix then fails the build.

  /// The attribute is there, of whatever type.
  [[nodiscard]] bool has(const std::string& name) const;
  /// A boolean attribute, "1" in the environment or true in structured attributes (`__json`).
  [[nodiscard]] bool flag(const std::string& name) const;
  /// A string attribute: environment, or structured attributes.
  [[nodiscard]] std::optional<std::string> text(const std::string& name) const;
  /// A list attribute: split at white space in the environment, or a list in structured attributes.
  [[nodiscard]] std::optional<std::vector<std::string>> list(const std::string& name) const;
  /// A list of strings in structured attributes; absent where there are none.
  [[nodiscard]] std::optional<std::vector<std::string>> structured_list(
      const std::string& name) const;
  /// A set in structured attributes, each value as nix.conf would have it: strings, numbers,
  /// "true" and "false", and lists of strings joined by blanks. Absent where there are none, or a
  /// value is of another kind.
  [[nodiscard]] std::optional<std::vector<std::pair<std::string, std::string>>> settings(
      const std::string& name) const;
  /// requiredSystemFeatures names it.
  [[nodiscard]] bool requires_feature(std::string_view feature) const;
  /// For checks of one output ("allowedReferences", …): `outputChecks.<output>.<name>` where there
  /// are structured attributes, else the plain list attribute.
  [[nodiscard]] std::optional<std::vector<std::string>> output_check(const std::string& output,
                                                                     const std::string& name) const;
  /// unsafeDiscardReferences, which only structured attributes can hold, is true for the output.
  [[nodiscard]] bool discards_references(const std::string& output) const;

 private:
  [[nodiscard]] tl::expected<void, std::string> check_structured_attributes() const;
};

}  // namespace airlock
