#pragma once

#include <set>
#include <string>
#include <string_view>
#include <tl/expected.hpp>

#include "daemon/core/hash.hpp"
#include "daemon/core/store_layout.hpp"

namespace airlock {

enum class IngestionMethod { text, flat, recursive, git };

/// How content of a store path is addressed: "text:sha256:<nix32>", "fixed:sha256:…",
/// "fixed:r:sha256:…", "fixed:git:sha1:…", as in a path info's `ca`.
struct ContentAddress {
  IngestionMethod method = IngestionMethod::flat;
  Hash hash;

  [[nodiscard]] static tl::expected<ContentAddress, std::string> parse(std::string_view text);
  [[nodiscard]] std::string print() const;
};

/// "text:sha256", "fixed:r:sha256", "fixed:sha1", "fixed:git:sha1": AddToStore's method argument.
struct AddMethod {
  IngestionMethod method = IngestionMethod::flat;
  HashAlgorithm algorithm = HashAlgorithm::sha256;
  [[nodiscard]] static tl::expected<AddMethod, std::string> parse(std::string_view text);
  [[nodiscard]] std::string print() const;
};

/// The references that a content address is computed with. `self` is the path's reference to
/// itself.
struct References {
  std::set<StorePath> others;
  bool self = false;
};

/// The store path that this content must have. Errors: a name that is not allowed; text with a
/// self reference; flat or git with references; as Nix's makeFixedOutputPathFromCA.
[[nodiscard]] tl::expected<StorePath, std::string> path_of(const StoreLayout& layout,
                                                           std::string_view name,
                                                           const ContentAddress& address,
                                                           const References& references);

/// The path of an input-addressed derivation's output. modulo: SHA-256 of the derivation's text
/// with its own output paths left empty, if it has no input derivations (those are hashed
/// otherwise).
[[nodiscard]] tl::expected<StorePath, std::string> output_path(const StoreLayout& layout,
                                                               std::string_view derivation_name,
                                                               std::string_view output,
                                                               const Hash& modulo);

}  // namespace airlock
