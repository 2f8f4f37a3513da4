#pragma once

#include <array>
#include <cstdint>
#include <set>
#include <string>
#include <string_view>
#include <tl/expected.hpp>

#include "daemon/core/hash.hpp"
#include "daemon/core/store_layout.hpp"

namespace airlock {

/// A secret key as `nix key generate-secret` makes it; wiped when it goes.
class SigningKey {
 public:
  /// "<name>:<base64 of 64 bytes>". The error is one sentence and holds nothing of the key.
  [[nodiscard]] static tl::expected<SigningKey, std::string> parse(std::string_view text);
  /// Reads a key from a file of secret-key-files.
  [[nodiscard]] static tl::expected<SigningKey, std::string> read(const std::string& file);

  SigningKey(const SigningKey&) = default;
  SigningKey& operator=(const SigningKey&) = default;
  ~SigningKey();

  /// "<name>:<base64 of the signature>", as it stands among a path's signatures.
  [[nodiscard]] std::string sign(std::string_view message) const;

 private:
  SigningKey() = default;
  std::string name_;
  std::array<std::uint8_t, 64> secret_{};
};

/// What Nix signs of a path.
[[nodiscard]] std::string fingerprint(const StoreLayout& layout, const StorePath& path,
                                      const Hash& nar_hash, std::uint64_t nar_size,
                                      const std::set<StorePath>& references);

}  // namespace airlock
