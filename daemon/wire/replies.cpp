#include "daemon/wire/replies.hpp"

namespace airlock::wire {

namespace {

constexpr std::uint64_t longest_link = 64 * 1024;
constexpr std::uint64_t longest_name = 4096;

Substitutable read_substitutable(Reader& from) {
  auto deriver = from.optional_path();
  auto references = from.paths();
  const auto download_size = from.u64();
  return {std::move(deriver), std::move(references), download_size, from.u64()};
}

void write_substitutable(Writer& to, const Substitutable& info) {
  to.optional_path(info.deriver);
  to.paths(info.references);
  to.u64(info.download_size);
  to.u64(info.nar_size);
}

}  // namespace

Done Done::decode(Reader& from, Version) {
  if (from.u64() != 1) from.not_canonical();
  return {};
}

Roots Roots::decode(Reader& from, Version) {
  Roots reply;
  for (auto n = from.count(); n > 0; --n)
    reply.roots.push_back({from.string(longest_link, "a link"), from.path()});
  return reply;
}

void Roots::encode(Writer& to, Version) const {
  to.u64(roots.size());
  for (const auto& [link, path] : roots) {
    to.string(link);
    to.path(path);
  }
}

Collected Collected::decode(Reader& from, Version) {
  Collected reply{from.strings(), from.u64()};
  if (from.u64() != 0) from.not_canonical();  // obsolete
  return reply;
}

void Collected::encode(Writer& to, Version) const {
  to.strings(paths);
  to.u64(bytes);
  to.u64(0);
}

MaybeSubstitutable MaybeSubstitutable::decode(Reader& from, Version) {
  if (!from.boolean()) return {};
  return {read_substitutable(from)};
}

void MaybeSubstitutable::encode(Writer& to, Version) const {
  to.boolean(info.has_value());
  if (info) write_substitutable(to, *info);
}

Substitutables Substitutables::decode(Reader& from, Version) {
  Substitutables reply;
  for (auto n = from.count(); n > 0; --n)
    reply.infos.push_back({from.path(), read_substitutable(from)});
  return reply;
}

void Substitutables::encode(Writer& to, Version) const {
  to.u64(infos.size());
  for (const auto& [path, info] : infos) {
    to.path(path);
    write_substitutable(to, info);
  }
}

MaybePathInfo MaybePathInfo::decode(Reader& from, Version) {
  if (!from.boolean()) return {};
  return {read_path_info(from)};
}

void MaybePathInfo::encode(Writer& to, Version) const {
  to.boolean(info.has_value());
  if (info) write_path_info(to, *info);
}

AddedPath AddedPath::decode(Reader& from, Version version) {
  AddedPath reply{from.path()};
  if (version >= since::content_addresses) reply.info = read_path_info(from);
  return reply;
}

void AddedPath::encode(Writer& to, Version version) const {
  to.path(path);
  if (version >= since::content_addresses) write_path_info(to, info);
}

Missing Missing::decode(Reader& from, Version) {
  auto will_build = from.paths();
  auto will_substitute = from.paths();
  auto unknown = from.paths();
  const auto download_size = from.u64();
  return {std::move(will_build), std::move(will_substitute), std::move(unknown), download_size,
          from.u64()};
}

void Missing::encode(Writer& to, Version) const {
  to.paths(will_build);
  to.paths(will_substitute);
  to.paths(unknown);
  to.u64(download_size);
  to.u64(nar_size);
}

OutputMap OutputMap::decode(Reader& from, Version) {
  OutputMap reply;
  for (auto n = from.count(); n > 0; --n)
    reply.outputs.push_back({from.string(longest_name, "an output's name"), from.optional_path()});
  return reply;
}

void OutputMap::encode(Writer& to, Version) const {
  to.u64(outputs.size());
  for (const auto& [name, path] : outputs) {
    to.string(name);
    to.optional_path(path);
  }
}

BuildResults BuildResults::decode(Reader& from, Version version) {
  BuildResults reply;
  for (auto n = from.count(); n > 0; --n) {
    auto target = read_target(from, version);
    reply.results.push_back({std::move(target), read_build_result(from, version)});
  }
  return reply;
}

void BuildResults::encode(Writer& to, Version version) const {
  to.u64(results.size());
  for (const auto& [target, result] : results) write_keyed_result(to, target, result, version);
}

}  // namespace airlock::wire
