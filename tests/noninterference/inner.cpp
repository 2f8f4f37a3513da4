#include "tests/noninterference/inner.hpp"

#include <array>
#include <sstream>
#include <stdexcept>

#include "tests/noninterference/world.hpp"

namespace noninterference {

namespace {

using namespace airlock;

template <class T>
T value_of(tl::expected<T, std::string> expected) {
  if (!expected) throw std::logic_error(expected.error());
  return *std::move(expected);
}

/// Nix's own: 20 bytes of a longer digest, folded.
std::string folded(const Hash& hash) {
  std::vector<std::uint8_t> bytes(20);
  for (std::size_t i = 0; i < hash.digest.size(); ++i) bytes[i % bytes.size()] ^= hash.digest[i];
  return to_nix32(bytes);
}

/// The text with each input derivation replaced by its own hash: what output paths follow from.
std::string text_by_hashes(const StoreLayout& layout, const Derivation& derivation,
                           const std::map<std::string, std::set<std::string>>& inputs) {
  auto without = derivation;
  without.input_derivations.clear();
  auto text = without.unparse(layout);
  std::ostringstream list;
  const char* separator = "";
  for (const auto& [hash, outputs] : inputs) {
    list << separator << "(\"" << hash << "\",[";
    const char* comma = "";
    for (const auto& output : outputs) {
      list << comma << '"' << output << '"';
      comma = ",";
    }
    list << "])";
    separator = ",";
  }
  const std::string_view empty = ")],[],[";
  text.replace(text.find(empty), empty.size(), ")],[" + list.str() + "],[");
  return text;
}

StorePath output_path(const StoreLayout& layout, const std::string& hash, const std::string& output,
                      const std::string& name) {
  const auto full = output == "out" ? name : name + "-" + output;
  const auto text = "output:" + output + ":sha256:" + hash + ":" + layout.store_dir + ":" + full;
  return value_of(StorePath::parse(folded(sha256(text)) + "-" + full));
}

std::string script_of(Kind kind, const Materials& materials, const std::string& content) {
  const auto source = materials.layout.print(materials.source);
  const auto write = "printf %s '" + content + "' > $out";
  switch (kind) {
    case Kind::succeeds:
    case Kind::fixed_flat:
    case Kind::fixed_recursive:
    case Kind::needs_a_feature:
    case Kind::without_sandbox:
      return "echo building; " + write;
    case Kind::makes_folder:
      return "mkdir $out; echo " + source + " > $out/file; ln -s file $out/link";
    case Kind::two_outputs:
      return write + "; printf dev > $dev";
    case Kind::fails:
      return "echo failing; exit 3";
    case Kind::fails_with_log:
      return "for i in $(seq 40); do echo line $i; done; exit 4";
    case Kind::no_program:
      return "exec /no/such/program";
    case Kind::makes_nothing:
      return "echo nothing";
    case Kind::names_what_it_must_not:
      return "echo " + source + " > $out";
    case Kind::needs_all:
      return "echo late; " + write;
    case Kind::fixed_wrong:
      return "echo other > $out";
    case Kind::fixed_fails:
      return "echo no network; exit 5";
    case Kind::fills_the_log:
      return "yes | head -c 400000; " + write;
    case Kind::sleeps:
      return "sleep 60; " + write;
  }
  throw std::logic_error("there is no such kind");
}

}  // namespace

const char* name_of(Kind kind) {
  constexpr std::array names{
      "succeeds",        "makes-folder",   "two-outputs", "fixed-flat",    "fixed-recursive",
      "fails",           "fails-with-log", "no-program",  "makes-nothing", "names-what-it-must-not",
      "needs-all",       "fixed-wrong",    "fixed-fails", "fills-the-log", "sleeps",
      "needs-a-feature", "without-sandbox"};
  return names.at(static_cast<std::size_t>(kind));
}

bool can_be_built(Kind kind) {
  switch (kind) {
    case Kind::succeeds:
    case Kind::makes_folder:
    case Kind::two_outputs:
    case Kind::fixed_flat:
    case Kind::fixed_recursive:
      return true;
    default:
      return false;
  }
}

bool is_fixed(Kind kind) {
  return kind == Kind::fixed_flat || kind == Kind::fixed_recursive || kind == Kind::fixed_wrong ||
         kind == Kind::fixed_fails;
}

Inner make_inner(const Materials& materials, Kind kind, const std::string& nonce,
                 const std::vector<const Inner*>& inputs) {
  const auto& layout = materials.layout;
  const auto name = std::string(name_of(kind)) + "-" + nonce;
  const auto content = "content of " + name;
  Derivation derivation;
  derivation.platform = materials.platform;
  derivation.builder = layout.print(materials.shell) + "/bin/sh";
  derivation.arguments = {"-euc", script_of(kind, materials, content)};
  derivation.input_sources = {materials.shell, materials.source};
  auto& environment = derivation.environment;
  environment = {{"PATH", layout.print(materials.shell) + "/bin"},
                 {"name", name},
                 {"builder", derivation.builder},
                 {"system", materials.platform}};
  if (kind == Kind::names_what_it_must_not) environment["allowedReferences"] = "";
  if (kind == Kind::needs_a_feature) environment["requiredSystemFeatures"] = "no-host-has-this";
  if (kind == Kind::without_sandbox) environment["__noChroot"] = "1";

  std::map<std::string, std::set<std::string>> by_hash;
  for (const auto* input : inputs) {
    derivation.input_derivations[input->path] = {"out"};
    by_hash[input->modulo] = {"out"};
    environment["input" + std::to_string(by_hash.size())] =
        layout.print(*input->derivation.outputs.at("out").path);
  }
  std::map<std::string, std::string> contents;
  std::string modulo;
  if (is_fixed(kind)) {
    const bool recursive = kind == Kind::fixed_recursive;
    const ContentAddress address{recursive ? IngestionMethod::recursive : IngestionMethod::flat,
                                 sha256(recursive ? archive_of(content) : content)};
    const auto path = value_of(path_of(layout, name, address, {}));
    const std::string algorithm = recursive ? "r:sha256" : "sha256";
    derivation.outputs["out"] = {path, algorithm, address.hash.base16()};
    modulo =
        sha256("fixed:out:" + algorithm + ":" + address.hash.base16() + ":" + layout.print(path))
            .base16();
    contents["out"] = content;
    environment["out"] = layout.print(path);
  } else {
    derivation.outputs["out"] = {};
    environment["out"] = "";
    contents["out"] = content;
    if (kind == Kind::two_outputs) {
      derivation.outputs["dev"] = {};
      environment["dev"] = "";
      contents["dev"] = "dev";
    }
    if (kind == Kind::makes_folder) contents.clear();
    const auto masked = sha256(text_by_hashes(layout, derivation, by_hash)).base16();
    for (auto& [output, made] : derivation.outputs) {
      made.path = output_path(layout, masked, output, name);
      environment[output] = layout.print(*made.path);
    }
    modulo = sha256(text_by_hashes(layout, derivation, by_hash)).base16();
  }
  auto text = derivation.unparse(layout);
  auto path = value_of(path_of(layout, name + ".drv", {IngestionMethod::text, sha256(text)},
                               {derivation.references(), false}));
  return {kind,
          std::move(derivation),
          std::move(path),
          std::move(text),
          std::move(contents),
          std::move(modulo)};
}

}  // namespace noninterference
