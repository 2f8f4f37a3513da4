#include "daemon/settle/signing_key.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sodium.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "fusefs/boundary/fd.hpp"

namespace airlock {

static_assert(crypto_sign_SECRETKEYBYTES == 64);

tl::expected<SigningKey, std::string> SigningKey::parse(std::string_view text) {
  constexpr std::string_view blanks = " \t\r\n";
  const auto first = std::min(text.find_first_not_of(blanks), text.size());
  text = text.substr(first, text.find_last_not_of(blanks) + 1 - first);
  const auto colon = text.find(':');
  SigningKey key;
  std::size_t length = 0;
  if (colon == std::string_view::npos || colon == 0 || ::sodium_init() < 0 ||
      ::sodium_base642bin(key.secret_.data(), key.secret_.size(), text.data() + colon + 1,
                          text.size() - colon - 1, nullptr, &length, nullptr,
                          sodium_base64_VARIANT_ORIGINAL) != 0 ||
      length != key.secret_.size())
    return tl::make_unexpected(
        std::string("it is not a secret key, \"<name>:<base64 of 64 bytes>\""));
  key.name_ = text.substr(0, colon);
  return key;
}

tl::expected<SigningKey, std::string> SigningKey::read(const std::string& file) {
  std::array<char, 4096> buffer{};
  const Fd opened{::open(file.c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY)};
  const ssize_t got = opened ? ::read(opened.get(), buffer.data(), buffer.size()) : -1;
  if (got < 0)
    return tl::make_unexpected(fmt::format("cannot read {}, which secret-key-files names: {}", file,
                                           std::strerror(errno)));
  auto key = parse({buffer.data(), static_cast<std::size_t>(got)});
  ::sodium_memzero(buffer.data(), buffer.size());
  if (!key)
    return tl::make_unexpected(
        fmt::format("cannot sign with {}, which secret-key-files names: {}", file, key.error()));
  return key;
}

SigningKey::~SigningKey() {
  ::sodium_memzero(secret_.data(), secret_.size());
}

std::string SigningKey::sign(std::string_view message) const {
  std::array<unsigned char, crypto_sign_BYTES> signature{};
  ::crypto_sign_detached(signature.data(), nullptr,
                         reinterpret_cast<const unsigned char*>(message.data()), message.size(),
                         secret_.data());
  std::array<char, sodium_base64_ENCODED_LEN(crypto_sign_BYTES, sodium_base64_VARIANT_ORIGINAL)>
      text{};
  ::sodium_bin2base64(text.data(), text.size(), signature.data(), signature.size(),
                      sodium_base64_VARIANT_ORIGINAL);
  return name_ + ":" + text.data();
}

std::string fingerprint(const StoreLayout& layout, const StorePath& path, const Hash& nar_hash,
                        std::uint64_t nar_size, const std::set<StorePath>& references) {
  std::string list;
  for (const StorePath& reference : references) {
    if (!list.empty()) list += ',';
    list += layout.print(reference);
  }
  return fmt::format("1;{};{}:{};{};{}", layout.print(path), name_of(nar_hash.algorithm),
                     nar_hash.nix32(), nar_size, list);
}

}  // namespace airlock
