#include "daemon/core/derivation.hpp"

#include "daemon/core/quote.hpp"

namespace airlock {
namespace {

using Checked = tl::expected<void, std::string>;

/// As in a store path's name, which an output's name becomes part of. It also keeps out what
/// separates an output from its derivation in the protocol: "!", "^", "*" and ",".
bool is_output_name(std::string_view name) {
  constexpr std::string_view allowed =
      "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ+-._?=";
  return !name.empty() && name.find_first_not_of(allowed) == std::string_view::npos;
}

Checked check_output_name(std::string_view name) {
  if (is_output_name(name)) return {};
  return tl::unexpected(quote(name) + " cannot be the name of a derivation's output");
}

/// "r:sha256" in a derivation is "fixed:r:sha256" in the protocol; "text:sha256" is the same.
tl::expected<AddMethod, std::string> parse_method(std::string_view stated) {
  return AddMethod::parse(stated.starts_with("text:") ? std::string(stated)
                                                      : "fixed:" + std::string(stated));
}

DerivationKind kind_of(const DerivationOutput& output) {
  if (output.hash_algorithm.empty()) {
    return output.path ? DerivationKind::input_addressed : DerivationKind::deferred;
  }
  if (output.hash == "impure") return DerivationKind::impure;
  return output.hash.empty() ? DerivationKind::floating : DerivationKind::fixed_output;
}

Checked check_output(const std::string& name, const DerivationOutput& output) {
  const auto refuse = [&](const std::string& why) {
    return tl::unexpected("the derivation's output " + name + ' ' + why);
  };
  if (auto checked = check_output_name(name); !checked) return checked;
  const auto kind = kind_of(output);
  if (kind == DerivationKind::input_addressed || kind == DerivationKind::deferred) {
    if (!output.hash.empty()) return refuse("has a hash without an algorithm");
    return {};
  }
  const auto method = parse_method(output.hash_algorithm);
  if (!method) return refuse("is malformed: " + method.error());
  if (kind == DerivationKind::fixed_output) {
    const auto hash = Hash::parse(method->algorithm, output.hash);
    if (!hash || hash->base16() != output.hash) return refuse("has a hash that is not in base 16");
    if (!output.path) return refuse("is fixed and has no path");
  } else if (output.path) {
    // Some versions of Nix stop with a failed assertion on it.
    return refuse("has a path before it is built");
  }
  return {};
}

}  // namespace

std::optional<ContentAddress> DerivationOutput::content_address() const {
  if (kind_of(*this) != DerivationKind::fixed_output) return std::nullopt;
  const auto method = parse_method(hash_algorithm);
  if (!method) return std::nullopt;
  auto digest = Hash::parse(method->algorithm, hash);
  if (!digest) return std::nullopt;
  return ContentAddress{method->method, *std::move(digest)};
}

Checked Derivation::check() const {
  if (outputs.empty()) return tl::unexpected<std::string>("the derivation has no output");
  const auto& first = outputs.begin()->second;
  for (const auto& [name, output] : outputs) {
    if (auto checked = check_output(name, output); !checked) return checked;
    if (kind_of(output) != kind_of(first)) {
      return tl::unexpected<std::string>("the derivation mixes kinds of outputs");
    }
    if (kind() == DerivationKind::floating && parse_method(output.hash_algorithm)->algorithm !=
                                                  parse_method(first.hash_algorithm)->algorithm) {
      return tl::unexpected<std::string>("the derivation's outputs use different hash algorithms");
    }
  }
  if (kind() == DerivationKind::fixed_output &&
      (outputs.size() != 1 || outputs.begin()->first != "out")) {
    return tl::unexpected<std::string>("a fixed-output derivation must have one output, named out");
  }
  for (const auto& [path, names] : input_derivations) {
    if (!path.is_derivation()) {
      return tl::unexpected(path.base() + " is an input of the derivation, but no derivation");
    }
    for (const auto& name : names) {
      if (auto checked = check_output_name(name); !checked) return checked;
    }
  }
  return check_structured_attributes();
}

tl::expected<Derivation, std::string> Derivation::parse_as(const StoreLayout& layout,
                                                           std::string_view name,
                                                           std::string_view text) {
  constexpr std::string_view extension = ".drv";
  if (!name.ends_with(extension))
    return tl::unexpected(quote(name) + " is not the name of a derivation");
  name.remove_suffix(extension.size());
  auto derivation = parse(layout, text);
  if (!derivation || derivation->kind() != DerivationKind::fixed_output) return derivation;
  const auto& output = derivation->outputs.begin()->second;
  const auto expected = path_of(layout, name, *output.content_address(), {});
  if (!expected) return tl::unexpected(expected.error());
  if (output.path != *expected)
    return tl::unexpected("the fixed output's path is not the one that its hash gives, " +
                          layout.print(*expected));
  return derivation;
}

DerivationKind Derivation::kind() const {
  return outputs.empty() ? DerivationKind::deferred : kind_of(outputs.begin()->second);
}

std::set<StorePath> Derivation::references() const {
  auto all = input_sources;
  for (const auto& [path, names] : input_derivations) all.insert(path);
  return all;
}

}  // namespace airlock
