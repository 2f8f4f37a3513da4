#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "daemon/wire/results.hpp"

namespace airlock::wire {

/// What servers answer when an operation succeeds, after LAST: one struct a shape, with decode and
/// encode as requests have them. Which operation has which stands in messages.hpp.

struct Nothing {
  static Nothing decode(Reader&, Version) { return {}; }
  void encode(Writer&, Version) const {}
};
/// A NAR, unframed, which ends where it ends: copied, never held.
struct Archive {};
struct Done {  ///< the number 1
  static Done decode(Reader& from, Version);
  void encode(Writer& to, Version) const { to.u64(1); }
};
struct Boolean {
  bool value = false;
  static Boolean decode(Reader& from, Version) { return {from.boolean()}; }
  void encode(Writer& to, Version) const { to.boolean(value); }
};
struct Text {
  std::string text;
  static Text decode(Reader& from, Version) { return {from.string()}; }
  void encode(Writer& to, Version) const { to.string(text); }
};
struct Texts {
  std::vector<std::string> texts;
  static Texts decode(Reader& from, Version) { return {from.strings()}; }
  void encode(Writer& to, Version) const { to.strings(texts); }
};
struct PathReply {
  StorePath path;
  static PathReply decode(Reader& from, Version) { return {from.path()}; }
  void encode(Writer& to, Version) const { to.path(path); }
};
struct MaybePath {
  std::optional<StorePath> path;
  static MaybePath decode(Reader& from, Version) { return {from.optional_path()}; }
  void encode(Writer& to, Version) const { to.optional_path(path); }
};
struct Paths {
  StorePathSet paths;
  static Paths decode(Reader& from, Version) { return {from.paths()}; }
  void encode(Writer& to, Version) const { to.paths(paths); }
};
struct Roots {  ///< links, and the paths that they lead to
  std::vector<std::pair<std::string, StorePath>> roots;
  static Roots decode(Reader& from, Version);
  void encode(Writer& to, Version) const;
};
struct Collected {
  std::vector<std::string> paths;  ///< as text: what lies in the store need not be a store path
  std::uint64_t bytes = 0;
  static Collected decode(Reader& from, Version);
  void encode(Writer& to, Version) const;
};
struct Substitutable {
  std::optional<StorePath> deriver;
  StorePathSet references;
  std::uint64_t download_size = 0;
  std::uint64_t nar_size = 0;
};
struct MaybeSubstitutable {
  std::optional<Substitutable> info;
  static MaybeSubstitutable decode(Reader& from, Version);
  void encode(Writer& to, Version) const;
};
struct Substitutables {
  std::vector<std::pair<StorePath, Substitutable>> infos;
  static Substitutables decode(Reader& from, Version);
  void encode(Writer& to, Version) const;
};
struct MaybePathInfo {
  std::optional<PathInfo> info;
  static MaybePathInfo decode(Reader& from, Version);
  void encode(Writer& to, Version) const;
};
struct AddedPath {
  StorePath path;
  PathInfo info{};  ///< from protocol 1.25 on
  static AddedPath decode(Reader& from, Version version);
  void encode(Writer& to, Version version) const;
};
struct Missing {
  StorePathSet will_build;
  StorePathSet will_substitute;
  StorePathSet unknown;
  std::uint64_t download_size = 0;
  std::uint64_t nar_size = 0;
  static Missing decode(Reader& from, Version);
  void encode(Writer& to, Version) const;
};
struct OutputMap {
  std::vector<std::pair<std::string, std::optional<StorePath>>> outputs;
  static OutputMap decode(Reader& from, Version);
  void encode(Writer& to, Version) const;
};
struct OneBuildResult {
  BuildResult result;
  static OneBuildResult decode(Reader& from, Version version) {
    return {read_build_result(from, version)};
  }
  void encode(Writer& to, Version version) const { write_build_result(to, result, version); }
};
struct BuildResults {
  std::vector<KeyedBuildResult> results;
  static BuildResults decode(Reader& from, Version version);
  void encode(Writer& to, Version version) const;
};

}  // namespace airlock::wire
