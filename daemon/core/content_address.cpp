#include "daemon/core/content_address.hpp"

#include <algorithm>

#include "daemon/core/quote.hpp"

namespace airlock {
namespace {

bool take_prefix(std::string_view& text, std::string_view prefix) {
  if (!text.starts_with(prefix)) return false;
  text.remove_prefix(prefix.size());
  return true;
}

/// Takes "text:", "fixed:", "fixed:r:" or "fixed:git:" off the front.
tl::expected<IngestionMethod, std::string> take_method(std::string_view& text) {
  const auto whole = text;
  if (take_prefix(text, "text:")) return IngestionMethod::text;
  if (!take_prefix(text, "fixed:")) {
    return tl::unexpected(quote(whole) + " starts neither with text: nor with fixed:");
  }
  if (take_prefix(text, "r:")) return IngestionMethod::recursive;
  if (take_prefix(text, "git:")) return IngestionMethod::git;
  return IngestionMethod::flat;
}

std::string_view prefix_of(IngestionMethod method) {
  switch (method) {
    case IngestionMethod::text:
      return "text:";
    case IngestionMethod::recursive:
      return "fixed:r:";
    case IngestionMethod::git:
      return "fixed:git:";
    case IngestionMethod::flat:
      break;
  }
  return "fixed:";
}

// Nix stops with a failed assertion on text by another algorithm, so it must never get that far.
bool go_together(IngestionMethod method, HashAlgorithm algorithm) {
  switch (method) {
    case IngestionMethod::text:
      return algorithm == HashAlgorithm::sha256;
    case IngestionMethod::git:
      return algorithm == HashAlgorithm::sha1 || algorithm == HashAlgorithm::sha256;
    case IngestionMethod::flat:
    case IngestionMethod::recursive:
      break;
  }
  return true;
}

tl::unexpected<std::string> mismatch(std::string_view text) {
  return tl::unexpected(quote(text) + " joins a method and a hash algorithm that Nix does not");
}

tl::expected<StorePath, std::string> make_path(const StoreLayout& layout, std::string_view type,
                                               const Hash& inner, std::string_view name) {
  std::string identity(type);
  identity += ':';
  identity += name_of(inner.algorithm);
  identity += ':';
  identity += inner.base16();
  identity += ':';
  identity += layout.store_dir;
  identity += ':';
  identity += name;

  // A store path's hash part is the digest folded onto 160 bits.
  const Hash full = sha256(identity);
  std::vector<std::uint8_t> folded(20);
  for (std::size_t i = 0; i < full.digest.size(); ++i) folded[i % folded.size()] ^= full.digest[i];
  return StorePath::parse(to_nix32(folded).append("-").append(name));
}

std::string with_references(std::string type, const StoreLayout& layout,
                            const References& references) {
  for (const auto& path : references.others) type += ':' + layout.print(path);
  if (references.self) type += ":self";
  return type;
}

}  // namespace

tl::expected<ContentAddress, std::string> ContentAddress::parse(std::string_view text) {
  auto rest = text;
  const auto method = take_method(rest);
  if (!method) return tl::unexpected(method.error());
  const auto colon = rest.find(':');
  if (colon == std::string_view::npos) {
    return tl::unexpected(quote(text) + " is not a content address");
  }
  const auto algorithm = parse_hash_algorithm(rest.substr(0, colon));
  if (!algorithm) return tl::unexpected(algorithm.error());
  if (!go_together(*method, *algorithm)) return mismatch(text);
  auto hash = Hash::parse(*algorithm, rest.substr(colon + 1));
  if (!hash) return tl::unexpected(hash.error());
  return ContentAddress{*method, *std::move(hash)};
}

std::string ContentAddress::print() const {
  return AddMethod{method, hash.algorithm}.print() + ':' + hash.nix32();
}

tl::expected<AddMethod, std::string> AddMethod::parse(std::string_view text) {
  auto rest = text;
  const auto method = take_method(rest);
  if (!method) return tl::unexpected(method.error());
  const auto algorithm = parse_hash_algorithm(rest);
  if (!algorithm) return tl::unexpected(algorithm.error());
  if (!go_together(*method, *algorithm)) return mismatch(text);
  return AddMethod{*method, *algorithm};
}

std::string AddMethod::print() const {
  return std::string(prefix_of(method)).append(name_of(algorithm));
}

tl::expected<StorePath, std::string> path_of(const StoreLayout& layout, std::string_view name,
                                             const ContentAddress& address,
                                             const References& references) {
  const auto& [method, hash] = address;
  if (!go_together(method, hash.algorithm)) return mismatch(address.print());
  if (method == IngestionMethod::text) {
    if (references.self)
      return tl::unexpected<std::string>("text may not refer to its own store path");
    return make_path(layout, with_references("text", layout, references), hash, name);
  }
  if (method == IngestionMethod::recursive && hash.algorithm == HashAlgorithm::sha256) {
    return make_path(layout, with_references("source", layout, references), hash, name);
  }
  if (references.self || !references.others.empty()) {
    return tl::unexpected("content addressed by " + AddMethod{method, hash.algorithm}.print() +
                          " may not refer to store paths");
  }
  // "fixed:out:" and then what a derivation would state, which leaves out "fixed:".
  const auto stated = std::string(prefix_of(method)).substr(std::string_view("fixed:").size());
  const auto inner = sha256("fixed:out:" + stated + std::string(name_of(hash.algorithm)) + ':' +
                            hash.base16() + ':');
  return make_path(layout, "output:out", inner, name);
}

tl::expected<StorePath, std::string> output_path(const StoreLayout& layout,
                                                 std::string_view derivation_name,
                                                 std::string_view output, const Hash& modulo) {
  std::string name(derivation_name);
  if (output != "out") name.append("-").append(output);
  return make_path(layout, "output:" + std::string(output), modulo, name);
}

}  // namespace airlock
