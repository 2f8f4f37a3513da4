#include "daemon/wire/messages.hpp"

namespace airlock::wire {

namespace {

constexpr std::uint64_t longest_name = 4096;
constexpr std::uint64_t longest_method = 64;

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

AddToStore AddToStore::decode(Reader& from, Version) {
  return {from.string(longest_name, "a name"), from.string(longest_method, "a method"),
          from.paths(), from.boolean()};
}

void AddToStore::encode(Writer& to, const StoreLayout&, Version) const {
  to.string(name);
  to.string(method);
  to.paths(references);
  to.boolean(repair);
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
  for (int i = 0; i < 3; ++i) (void)from.u64();  // obsolete
  return request;
}

void CollectGarbage::encode(Writer& to, const StoreLayout&, Version) const {
  to.u64(action);
  to.paths(paths);
  to.boolean(ignore_liveness);
  to.u64(max_freed);
  for (int i = 0; i < 3; ++i) to.u64(0);
}

QuerySubstitutablePathInfos QuerySubstitutablePathInfos::decode(Reader& from, Version) {
  QuerySubstitutablePathInfos request;
  for (auto n = from.count(); n > 0; --n)
    request.paths.push_back({from.path(), from.string(1024, "a content address")});
  return request;
}

void QuerySubstitutablePathInfos::encode(Writer& to, const StoreLayout&, Version) const {
  to.u64(paths.size());
  for (const auto& [path, content_address] : paths) {
    to.path(path);
    to.string(content_address);
  }
}

QueryValidPaths QueryValidPaths::decode(Reader& from, Version) {
  return {from.paths(), from.boolean()};
}

void QueryValidPaths::encode(Writer& to, const StoreLayout&, Version) const {
  to.paths(paths);
  to.boolean(substitute);
}

VerifyStore VerifyStore::decode(Reader& from, Version) {
  return {from.boolean(), from.boolean()};
}

void VerifyStore::encode(Writer& to, const StoreLayout&, Version) const {
  to.boolean(check_contents);
  to.boolean(repair);
}

BuildDerivation BuildDerivation::decode(Reader& from, Version) {
  BuildDerivation request{from.path(), {}, {}, {}, {}, {}, {}, 0};
  for (auto n = from.count(); n > 0; --n)
    request.outputs.push_back({from.string(), from.string(), from.string(), from.string()});
  request.input_sources = from.paths();
  request.platform = from.string();
  request.builder = from.string();
  request.arguments = from.strings();
  request.environment = read_pairs(from);
  request.mode = from.u64();
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
  to.u64(mode);
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
