#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <tl/expected.hpp>
#include <vector>

namespace airlock {

using Bytes = std::span<const std::uint8_t>;

enum class HashAlgorithm { md5, sha1, sha256, sha512, blake3 };
[[nodiscard]] std::string_view name_of(HashAlgorithm algorithm);
[[nodiscard]] std::size_t size_of(HashAlgorithm algorithm);  ///< bytes

/// A digest and its algorithm. digest.size() == size_of(algorithm) always.
struct Hash {
  HashAlgorithm algorithm = HashAlgorithm::sha256;
  std::vector<std::uint8_t> digest;

  /// "sha256:<digits>" in base16, nix32 or base64, or the SRI form "sha256-<base64>".
  [[nodiscard]] static tl::expected<Hash, std::string> parse(std::string_view text);
  /// Digits alone, in base16 (of either case), nix32 or base64 as their length tells, for a known
  /// algorithm.
  [[nodiscard]] static tl::expected<Hash, std::string> parse(HashAlgorithm algorithm,
                                                             std::string_view digits);

  [[nodiscard]] std::string base16() const;  ///< digits alone
  [[nodiscard]] std::string nix32() const;   ///< digits alone
  bool operator==(const Hash&) const = default;
};

[[nodiscard]] tl::expected<HashAlgorithm, std::string> parse_hash_algorithm(std::string_view name);

/// A hash in pieces (nettle, which uses the processor's own instructions for SHA). Not thread-safe.
class Hasher {
 public:
  /// Throws std::invalid_argument for an algorithm that is not computed here.
  explicit Hasher(HashAlgorithm algorithm = HashAlgorithm::sha256);
  /// All but BLAKE3, which Nix has only as an experimental feature.
  [[nodiscard]] static bool computes(HashAlgorithm algorithm);
  void update(std::string_view bytes);
  [[nodiscard]] Hash finish();  ///< once

 private:
  HashAlgorithm algorithm_;
  alignas(64) std::uint8_t state_[256];
};
[[nodiscard]] Hash sha256(std::string_view bytes);

/// Nix's own base 32: digits 0-9 a-z without e o u t, the last byte's high bits first.
[[nodiscard]] std::string to_nix32(Bytes bytes);
/// Accepts exactly what to_nix32 produces.
[[nodiscard]] tl::expected<std::vector<std::uint8_t>, std::string> from_nix32(
    std::string_view digits);
[[nodiscard]] constexpr bool is_nix32_digit(char c) {
  return (c >= '0' && c <= '9') ||
         (c >= 'a' && c <= 'z' && c != 'e' && c != 'o' && c != 'u' && c != 't');
}

}  // namespace airlock
