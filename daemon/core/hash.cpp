#include "daemon/core/hash.hpp"

#include <nettle/md5.h>
#include <nettle/nettle-meta.h>
#include <nettle/sha1.h>
#include <nettle/sha2.h>
#include <sodium.h>

#include <array>
#include <stdexcept>

#include "daemon/core/quote.hpp"

namespace airlock {
namespace {

struct Facts {
  HashAlgorithm algorithm;
  std::string_view name;
  std::size_t size;
};

constexpr std::array<Facts, 5> known{{{HashAlgorithm::md5, "md5", 16},
                                      {HashAlgorithm::sha1, "sha1", 20},
                                      {HashAlgorithm::sha256, "sha256", 32},
                                      {HashAlgorithm::sha512, "sha512", 64},
                                      {HashAlgorithm::blake3, "blake3", 32}}};

const Facts& facts(HashAlgorithm algorithm) {
  return known.at(static_cast<std::size_t>(algorithm));
}

constexpr std::string_view nix32_digits = "0123456789abcdfghijklmnpqrsvwxyz";
constexpr std::uint8_t no_digit = 0xff;

constexpr std::array<std::uint8_t, 256> nix32_values = [] {
  std::array<std::uint8_t, 256> values{};
  values.fill(no_digit);
  for (std::size_t i = 0; i < nix32_digits.size(); ++i) {
    values[static_cast<unsigned char>(nix32_digits[i])] = static_cast<std::uint8_t>(i);
  }
  return values;
}();

std::uint8_t nix32_value(char c) {
  return nix32_values[static_cast<unsigned char>(c)];
}

std::size_t base16_length(std::size_t bytes) {
  return bytes * 2;
}
std::size_t nix32_length(std::size_t bytes) {
  return (bytes * 8 + 4) / 5;
}
std::size_t base64_length(std::size_t bytes) {
  return (bytes + 2) / 3 * 4;
}

// sodium's decoders fail on any character that does not belong and on digits that are left over.
bool decode_base16(std::string_view digits, std::vector<std::uint8_t>& bytes) {
  std::size_t size = 0;
  return sodium_hex2bin(bytes.data(), bytes.size(), digits.data(), digits.size(), nullptr, &size,
                        nullptr) == 0 &&
         size == bytes.size();
}

bool decode_base64(std::string_view digits, std::vector<std::uint8_t>& bytes) {
  std::size_t size = 0;
  return sodium_base642bin(bytes.data(), bytes.size(), digits.data(), digits.size(), nullptr, &size,
                           nullptr, sodium_base64_VARIANT_ORIGINAL) == 0 &&
         size == bytes.size();
}

/// Null for one that nettle does not have.
const nettle_hash* implementation(HashAlgorithm algorithm) {
  switch (algorithm) {
    case HashAlgorithm::md5:
      return &nettle_md5;
    case HashAlgorithm::sha1:
      return &nettle_sha1;
    case HashAlgorithm::sha256:
      return &nettle_sha256;
    case HashAlgorithm::sha512:
      return &nettle_sha512;
    case HashAlgorithm::blake3:
      break;
  }
  return nullptr;
}

tl::unexpected<std::string> malformed(std::string_view text) {
  return tl::unexpected(quote(text) + " is not a hash");
}

}  // namespace

std::string_view name_of(HashAlgorithm algorithm) {
  return facts(algorithm).name;
}
std::size_t size_of(HashAlgorithm algorithm) {
  return facts(algorithm).size;
}

tl::expected<HashAlgorithm, std::string> parse_hash_algorithm(std::string_view name) {
  for (const auto& each : known) {
    if (each.name == name) return each.algorithm;
  }
  return tl::unexpected(quote(name) + " is not a hash algorithm");
}

tl::expected<Hash, std::string> Hash::parse(std::string_view text) {
  const auto end = text.find_first_of(":-");
  if (end == std::string_view::npos) return malformed(text);
  const auto algorithm = parse_hash_algorithm(text.substr(0, end));
  if (!algorithm) return tl::unexpected(algorithm.error());
  const auto digits = text.substr(end + 1);
  const bool sri = text[end] == '-';
  if (sri && digits.size() != base64_length(size_of(*algorithm))) return malformed(text);
  return parse(*algorithm, digits);
}

tl::expected<Hash, std::string> Hash::parse(HashAlgorithm algorithm, std::string_view digits) {
  const auto size = size_of(algorithm);
  Hash hash{algorithm, std::vector<std::uint8_t>(size)};
  if (digits.size() == base16_length(size)) {
    if (!decode_base16(digits, hash.digest)) return malformed(digits);
  } else if (digits.size() == nix32_length(size)) {
    auto bytes = from_nix32(digits);
    if (!bytes) return tl::unexpected(bytes.error());
    hash.digest = *std::move(bytes);
  } else if (digits.size() == base64_length(size)) {
    if (!decode_base64(digits, hash.digest)) return malformed(digits);
  } else {
    return tl::unexpected(quote(digits) + " does not have the length of a " +
                          std::string(name_of(algorithm)) + " hash");
  }
  return hash;
}

std::string Hash::base16() const {
  constexpr std::string_view hex = "0123456789abcdef";
  std::string digits;
  digits.reserve(base16_length(digest.size()));
  for (const auto byte : digest) digits += {hex[byte >> 4], hex[byte & 15]};
  return digits;
}

std::string Hash::nix32() const {
  return to_nix32(digest);
}

static_assert(sizeof(md5_ctx) <= 256 && sizeof(sha1_ctx) <= 256 && sizeof(sha256_ctx) <= 256 &&
              sizeof(sha512_ctx) <= 256);

bool Hasher::computes(HashAlgorithm algorithm) {
  return implementation(algorithm) != nullptr;
}

Hasher::Hasher(HashAlgorithm algorithm) : algorithm_(algorithm) {
  if (!computes(algorithm))
    throw std::invalid_argument(std::string(name_of(algorithm)) + " is not computed here");
  implementation(algorithm)->init(state_);
}

void Hasher::update(std::string_view bytes) {
  implementation(algorithm_)
      ->update(state_, bytes.size(), reinterpret_cast<const std::uint8_t*>(bytes.data()));
}

Hash Hasher::finish() {
  Hash hash{algorithm_, std::vector<std::uint8_t>(size_of(algorithm_))};
  implementation(algorithm_)->digest(state_, hash.digest.size(), hash.digest.data());
  return hash;
}

Hash sha256(std::string_view bytes) {
  Hasher hasher;
  hasher.update(bytes);
  return hasher.finish();
}

std::string to_nix32(Bytes bytes) {
  std::string digits;
  digits.reserve(nix32_length(bytes.size()));
  for (std::size_t n = nix32_length(bytes.size()); n-- > 0;) {
    const std::size_t byte = n * 5 / 8;
    const std::size_t shift = n * 5 % 8;
    const unsigned next = byte + 1 < bytes.size() ? bytes[byte + 1] : 0;
    digits += nix32_digits[(bytes[byte] >> shift | next << (8 - shift)) & 31];
  }
  return digits;
}

tl::expected<std::vector<std::uint8_t>, std::string> from_nix32(std::string_view digits) {
  std::vector<std::uint8_t> bytes(digits.size() * 5 / 8);
  if (nix32_length(bytes.size()) != digits.size()) {
    return tl::unexpected(quote(digits) + " does not have a length that base 32 digits can have");
  }
  for (std::size_t n = 0; n < digits.size(); ++n) {
    const unsigned value = nix32_value(digits[digits.size() - 1 - n]);
    if (value == no_digit) return tl::unexpected(quote(digits) + " is not in Nix's base 32");
    const std::size_t byte = n * 5 / 8;
    const std::size_t shift = n * 5 % 8;
    const unsigned carry = value >> (8 - shift);
    bytes[byte] = static_cast<std::uint8_t>(bytes[byte] | value << shift);
    if (byte + 1 < bytes.size()) {
      bytes[byte + 1] = static_cast<std::uint8_t>(carry);
    } else if (carry != 0) {
      return tl::unexpected(quote(digits) + " holds more bits than its bytes have");
    }
  }
  return bytes;
}

}  // namespace airlock
