#include "daemon/wire/messages.hpp"

#include <fmt/format.h>

#include "daemon/core/quote.hpp"

namespace airlock::wire {

namespace {

constexpr std::uint64_t longest_name = 4096;
constexpr std::uint64_t longest_method = 64;
constexpr std::uint64_t longest_realisation = 1 << 20;
/// What protocols before 1.25 mean when they do not say otherwise.
constexpr const char* old_default = "fixed:r:sha256";

// Members of a braced list are evaluated in order, which is the order of the wire.

std::vector<std::pair<std::string, std::string>> read_pairs(Reader& from) {
  std::vector<std::pair<std::string, std::string>> pairs;
  for (auto n = from.count(); n > 0; --n) pairs.push_back({from.string(), from.string()});
  return pairs;
}

void write_pairs(Writer& to, const std::vector<std::pair<std::string, std::string>>& pairs) {
  to.u64(pairs.size());
  for (const auto& [key, value] : pairs) {
    to.string(key);
    to.string(value);
  }
}

}  // namespace

BuildMode read_build_mode(Reader& from) {
  const auto mode = from.u64();
  if (mode > 2) throw ConnectionOver(fmt::format("there is no build mode {}", mode));
  return static_cast<BuildMode>(mode);
}

AddToStore AddToStore::decode(Reader& from, Version version) {
  if (version >= since::content_addresses)
    return {from.string(longest_name, "a name"), from.string(longest_method, "a method"),
            from.paths(), from.boolean()};
  AddToStore request{from.string(longest_name, "a name"), {}, {}, false};
  const bool fixed = from.boolean();
  const bool recursive = from.boolean();
  const auto algorithm = from.string(longest_method, "a hash algorithm");
  // As part of a method "r:md5" would mean that a flat add is a recursive one.
  if (algorithm.find(':') != std::string::npos)
    throw ConnectionOver(fmt::format("{} is no hash algorithm", quote(algorithm)));
  request.method = fixed ? "fixed:" + std::string(recursive ? "r:" : "") + algorithm : old_default;
  if (!fixed && (!recursive || algorithm != "sha256")) from.not_canonical();
  if (request.method == old_default && fixed) from.not_canonical();
  return request;
}

void AddToStore::encode(Writer& to, const StoreLayout&, Version version) const {
  to.string(name);
  if (version >= since::content_addresses) {
    to.string(method);
    to.paths(references);
    to.boolean(repair);
    return;
  }
  constexpr std::string_view fixed = "fixed:";
  std::string_view algorithm = method;
  if (algorithm.starts_with(fixed)) algorithm.remove_prefix(fixed.size());
  const bool recursive = algorithm.starts_with("r:");
  if (recursive) algorithm.remove_prefix(2);
  to.boolean(method != old_default);
  to.boolean(recursive);
  to.string(algorithm);
}

AddTextToStore AddTextToStore::decode(Reader& from, Version) {
  return {from.string(longest_name, "a name"), from.string(), from.paths()};
}

void AddTextToStore::encode(Writer& to, const StoreLayout&, Version) const {
  to.string(name);
  to.string(text);
  to.paths(references);
}

SetOptions SetOptions::decode(Reader& from, Version) {
  return {from.boolean(), from.boolean(), from.boolean(),  from.u64(), from.u64(),
          from.u64(),     from.u64(),     from.u64(),      from.u64(), from.u64(),
          from.u64(),     from.boolean(), read_pairs(from)};
}

void SetOptions::encode(Writer& to, const StoreLayout&, Version) const {
  to.boolean(keep_failed);
  to.boolean(keep_going);
  to.boolean(try_fallback);
  to.u64(verbosity);
  to.u64(max_build_jobs);
  to.u64(max_silent_time);
  to.u64(use_build_hook);
  to.u64(build_verbosity);
  to.u64(log_type);
  to.u64(print_build_trace);
  to.u64(build_cores);
  to.boolean(use_substitutes);
  write_pairs(to, overrides);
}

CollectGarbage CollectGarbage::decode(Reader& from, Version) {
  CollectGarbage request{from.u64(), from.paths(), from.boolean(), from.u64()};
  for (int i = 0; i < 3; ++i)  // obsolete
    if (from.u64() != 0) from.not_canonical();
  return request;
}

void CollectGarbage::encode(Writer& to, const StoreLayout&, Version) const {
  to.u64(action);
  to.paths(paths);
  to.boolean(ignore_liveness);
  to.u64(max_freed);
  for (int i = 0; i < 3; ++i) to.u64(0);
}

ExportPath ExportPath::decode(Reader& from, Version) {
  ExportPath request{from.path()};
  if (from.u64() != 0) from.not_canonical();  // whether to sign; obsolete
  return request;
}

void ExportPath::encode(Writer& to, const StoreLayout&, Version) const {
  to.path(path);
  to.u64(0);
}

QuerySubstitutablePathInfos QuerySubstitutablePathInfos::decode(Reader& from, Version version) {
  QuerySubstitutablePathInfos request;
  const bool with_ca = version >= since::substitutable_ca;
  for (auto n = from.count(); n > 0; --n) {
    auto path = from.path();
    request.paths.emplace_back(std::move(path),
                               with_ca ? from.string(1024, "a content address") : std::string());
  }
  return request;
}

void QuerySubstitutablePathInfos::encode(Writer& to, const StoreLayout&, Version version) const {
  to.u64(paths.size());
  for (const auto& [path, content_address] : paths) {
    to.path(path);
    if (version >= since::substitutable_ca) to.string(content_address);
  }
}

QueryValidPaths QueryValidPaths::decode(Reader& from, Version version) {
  auto paths = from.paths();
  return {std::move(paths), version >= since::valid_paths_substitute && from.boolean()};
}

void QueryValidPaths::encode(Writer& to, const StoreLayout&, Version version) const {
  to.paths(paths);
  if (version >= since::valid_paths_substitute) to.boolean(substitute);
}

VerifyStore VerifyStore::decode(Reader& from, Version) {
  return {from.boolean(), from.boolean()};
}

void VerifyStore::encode(Writer& to, const StoreLayout&, Version) const {
  to.boolean(check_contents);
  to.boolean(repair);
}

BuildDerivation BuildDerivation::decode(Reader& from, Version) {
  BuildDerivation request{from.path(), {}, {}, {}, {}, {}, {}, {}};
  for (auto n = from.count(); n > 0; --n)
    request.outputs.push_back({from.string(), from.string(), from.string(), from.string()});
  request.input_sources = from.paths();
  request.platform = from.string();
  request.builder = from.string();
  request.arguments = from.strings();
  request.environment = read_pairs(from);
  request.mode = read_build_mode(from);
  return request;
}

void BuildDerivation::encode(Writer& to, const StoreLayout&, Version) const {
  to.path(path);
  to.u64(outputs.size());
  for (const auto& output : outputs)
    for (const auto* text : {&output.name, &output.path, &output.hash_algorithm, &output.hash})
      to.string(*text);
  to.paths(input_sources);
  to.string(platform);
  to.string(builder);
  to.strings(arguments);
  write_pairs(to, environment);
  to.u64(static_cast<std::uint64_t>(mode));
}

AddSignatures AddSignatures::decode(Reader& from, Version) {
  return {from.path(), from.strings()};
}

void AddSignatures::encode(Writer& to, const StoreLayout&, Version) const {
  to.path(path);
  to.strings(signatures);
}

AddToStoreNar AddToStoreNar::decode(Reader& from, Version) {
  return {from.path(), read_path_info(from), from.boolean(), from.boolean()};
}

void AddToStoreNar::encode(Writer& to, const StoreLayout&, Version) const {
  to.path(path);
  write_path_info(to, info);
  to.boolean(repair);
  to.boolean(dont_check_signatures);
}

AddMultipleToStore AddMultipleToStore::decode(Reader& from, Version) {
  return {from.boolean(), from.boolean()};
}

void AddMultipleToStore::encode(Writer& to, const StoreLayout&, Version) const {
  to.boolean(repair);
  to.boolean(dont_check_signatures);
}

RegisterDrvOutput RegisterDrvOutput::decode(Reader& from, Version version) {
  RegisterDrvOutput request{from.string(longest_realisation, "a realisation")};
  if (version < since::realisation_json) request.path = from.string(longest_name, "a store path");
  return request;
}

void RegisterDrvOutput::encode(Writer& to, const StoreLayout&, Version version) const {
  to.string(realisation);
  if (version < since::realisation_json) to.string(path);
}

AddBuildLog AddBuildLog::decode(Reader& from, Version) {
  return {from.string(longest_name, "a derivation")};
}

void AddBuildLog::encode(Writer& to, const StoreLayout&, Version) const {
  to.string(derivation);
}

AddPermRoot AddPermRoot::decode(Reader& from, Version) {
  return {from.path(), from.string(longest_name, "a link")};
}

void AddPermRoot::encode(Writer& to, const StoreLayout&, Version) const {
  to.path(path);
  to.string(link);
}

}  // namespace airlock::wire
