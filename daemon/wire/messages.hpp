#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "daemon/wire/codec.hpp"
#include "daemon/wire/replies.hpp"
#include "daemon/wire/results.hpp"

namespace airlock::wire {

/// Operation numbers of the worker protocol (Nix's worker-protocol.hh).
enum class Op : std::uint64_t {
  is_valid_path = 1,
  has_substitutes = 3,
  query_path_hash = 4,
  query_references = 5,
  query_referrers = 6,
  add_to_store = 7,
  add_text_to_store = 8,
  build_paths = 9,
  ensure_path = 10,
  add_temp_root = 11,
  add_indirect_root = 12,
  sync_with_gc = 13,
  find_roots = 14,
  export_path = 16,
  query_deriver = 18,
  set_options = 19,
  collect_garbage = 20,
  query_substitutable_path_info = 21,
  query_derivation_outputs = 22,
  query_all_valid_paths = 23,
  query_path_info = 26,
  import_paths = 27,
  query_derivation_output_names = 28,
  query_path_from_hash_part = 29,
  query_substitutable_path_infos = 30,
  query_valid_paths = 31,
  query_substitutable_paths = 32,
  query_valid_derivers = 33,
  optimise_store = 34,
  verify_store = 35,
  build_derivation = 36,
  add_signatures = 37,
  nar_from_path = 38,
  add_to_store_nar = 39,
  query_missing = 40,
  query_derivation_output_map = 41,
  register_drv_output = 42,
  query_realisation = 43,
  add_multiple_to_store = 44,
  add_build_log = 45,
  build_paths_with_results = 46,
  add_perm_root = 47,
};

/// How the content of an upload follows the arguments of an operation.
enum class Body {
  none,
  framed,     ///< frames, up to one of length 0
  archive,    ///< a bare NAR, whose own end is the end
  tunnelled,  ///< pieces, each in answer to a READ message of the server's
};

/// One struct an operation; each has decode, which reads its arguments after the number, and
/// encode, which writes them: re-encoding what was decoded gives the same bytes (or, where the
/// reader says that they were not canonical, the form that Nix writes). A body that follows is not
/// part of it: body_of tells of which kind it is. Reply is what a server answers when it succeeds.
///
/// Operations whose arguments have the same shape share a template, and stay different types.
template <Op op, class R = Done>
struct Nullary {
  static constexpr Op number = op;
  using Reply = R;
  static Nullary decode(Reader&, Version) { return {}; }
  void encode(Writer&, const StoreLayout&, Version) const {}
};
template <Op op, class R>
struct OnPath {
  static constexpr Op number = op;
  using Reply = R;
  StorePath path;
  static OnPath decode(Reader& from, Version) { return {from.path()}; }
  void encode(Writer& to, const StoreLayout&, Version) const { to.path(path); }
};
template <Op op, class R>
struct OnPaths {
  static constexpr Op number = op;
  using Reply = R;
  StorePathSet paths;
  static OnPaths decode(Reader& from, Version) { return {from.paths()}; }
  void encode(Writer& to, const StoreLayout&, Version) const { to.paths(paths); }
};
template <Op op, class R>
struct OnText {
  static constexpr Op number = op;
  using Reply = R;
  std::string text;
  static OnText decode(Reader& from, Version) { return {from.string(64 * 1024, "an argument")}; }
  void encode(Writer& to, const StoreLayout&, Version) const { to.string(text); }
};
template <Op op, class R>
struct OnTargets {
  static constexpr Op number = op;
  using Reply = R;
  Targets targets;
  static OnTargets decode(Reader& from, Version version) { return {read_targets(from, version)}; }
  void encode(Writer& to, const StoreLayout& layout, Version version) const {
    write_targets(to, layout, targets, version);
  }
};
enum class BuildMode : std::uint64_t { normal = 0, repair = 1, check = 2 };
[[nodiscard]] BuildMode read_build_mode(Reader& from);
template <Op op, class R>
struct Build {
  static constexpr Op number = op;
  using Reply = R;
  Targets targets;
  BuildMode mode = BuildMode::normal;
  static Build decode(Reader& from, Version version) {
    auto targets = read_targets(from, version);
    return {std::move(targets), read_build_mode(from)};
  }
  void encode(Writer& to, const StoreLayout& layout, Version version) const {
    write_targets(to, layout, targets, version);
    to.u64(static_cast<std::uint64_t>(mode));
  }
};

using IsValidPath = OnPath<Op::is_valid_path, Boolean>;
using HasSubstitutes = OnPath<Op::has_substitutes, Boolean>;
using QueryPathHash = OnPath<Op::query_path_hash, Text>;
using QueryReferences = OnPath<Op::query_references, Paths>;
using QueryReferrers = OnPath<Op::query_referrers, Paths>;
using EnsurePath = OnPath<Op::ensure_path, Done>;
using AddTempRoot = OnPath<Op::add_temp_root, Done>;
using AddIndirectRoot = OnText<Op::add_indirect_root, Done>;
using SyncWithGC = Nullary<Op::sync_with_gc>;
using FindRoots = Nullary<Op::find_roots, Roots>;
using ImportPaths = Nullary<Op::import_paths, Paths>;  ///< a tunnelled body follows
using QueryDeriver = OnPath<Op::query_deriver, MaybePath>;
using QuerySubstitutablePathInfo = OnPath<Op::query_substitutable_path_info, MaybeSubstitutable>;
using QueryDerivationOutputs = OnPath<Op::query_derivation_outputs, Paths>;
using QueryAllValidPaths = Nullary<Op::query_all_valid_paths, Paths>;
using QueryPathInfo = OnPath<Op::query_path_info, MaybePathInfo>;
using QueryDerivationOutputNames = OnPath<Op::query_derivation_output_names, Texts>;
using QueryPathFromHashPart = OnText<Op::query_path_from_hash_part, MaybePath>;
using QuerySubstitutablePaths = OnPaths<Op::query_substitutable_paths, Paths>;
using QueryValidDerivers = OnPath<Op::query_valid_derivers, Paths>;
using OptimiseStore = Nullary<Op::optimise_store>;
using NarFromPath = OnPath<Op::nar_from_path, Archive>;
using QueryMissing = OnTargets<Op::query_missing, Missing>;
using QueryDerivationOutputMap = OnPath<Op::query_derivation_output_map, OutputMap>;
using QueryRealisation = OnText<Op::query_realisation, Texts>;
using BuildPaths = Build<Op::build_paths, Done>;
using BuildPathsWithResults = Build<Op::build_paths_with_results, BuildResults>;

/// A body follows: frames, or before protocol 1.25 a NAR, whatever the method.
struct AddToStore {
  static constexpr Op number = Op::add_to_store;
  using Reply = AddedPath;
  std::string name;
  std::string method;  ///< "text:sha256", "fixed:r:sha256", …
  StorePathSet references;
  bool repair = false;
  static AddToStore decode(Reader& from, Version);
  void encode(Writer& to, const StoreLayout&, Version) const;
};
struct AddTextToStore {
  static constexpr Op number = Op::add_text_to_store;
  using Reply = PathReply;
  std::string name;
  std::string text;
  StorePathSet references;
  static AddTextToStore decode(Reader& from, Version);
  void encode(Writer& to, const StoreLayout&, Version) const;
};
struct SetOptions {
  static constexpr Op number = Op::set_options;
  using Reply = Nothing;
  bool keep_failed = false;
  bool keep_going = false;
  bool try_fallback = false;
  std::uint64_t verbosity = 0;
  std::uint64_t max_build_jobs = 0;
  std::uint64_t max_silent_time = 0;
  std::uint64_t use_build_hook = 1;  ///< obsolete
  std::uint64_t build_verbosity = 0;
  std::uint64_t log_type = 0;           ///< obsolete
  std::uint64_t print_build_trace = 0;  ///< obsolete
  std::uint64_t build_cores = 0;
  bool use_substitutes = true;
  std::vector<std::pair<std::string, std::string>> overrides;
  bool operator==(const SetOptions&) const = default;
  static SetOptions decode(Reader& from, Version);
  void encode(Writer& to, const StoreLayout&, Version) const;
};
struct ExportPath {  ///< the export is sent in WRITE messages
  static constexpr Op number = Op::export_path;
  using Reply = Done;
  StorePath path;
  static ExportPath decode(Reader& from, Version);
  void encode(Writer& to, const StoreLayout&, Version) const;
};
struct CollectGarbage {
  static constexpr Op number = Op::collect_garbage;
  using Reply = Collected;
  std::uint64_t action = 0;
  StorePathSet paths;
  bool ignore_liveness = false;
  std::uint64_t max_freed = 0;
  static CollectGarbage decode(Reader& from, Version);
  void encode(Writer& to, const StoreLayout&, Version) const;
};
struct QuerySubstitutablePathInfos {
  static constexpr Op number = Op::query_substitutable_path_infos;
  using Reply = Substitutables;
  std::vector<std::pair<StorePath, std::string>> paths;  ///< path and content address
  static QuerySubstitutablePathInfos decode(Reader& from, Version);
  void encode(Writer& to, const StoreLayout&, Version) const;
};
struct QueryValidPaths {
  static constexpr Op number = Op::query_valid_paths;
  using Reply = Paths;
  StorePathSet paths;
  bool substitute = false;
  static QueryValidPaths decode(Reader& from, Version);
  void encode(Writer& to, const StoreLayout&, Version) const;
};
struct VerifyStore {
  static constexpr Op number = Op::verify_store;
  using Reply = Boolean;
  bool check_contents = false;
  bool repair = false;
  static VerifyStore decode(Reader& from, Version);
  void encode(Writer& to, const StoreLayout&, Version) const;
};
/// A derivation with its inputs resolved; what is in its outputs is kept as text.
struct BuildDerivation {
  static constexpr Op number = Op::build_derivation;
  using Reply = OneBuildResult;
  struct Output {
    std::string name, path, hash_algorithm, hash;
  };
  StorePath path;
  std::vector<Output> outputs;
  StorePathSet input_sources;
  std::string platform;
  std::string builder;
  std::vector<std::string> arguments;
  std::vector<std::pair<std::string, std::string>> environment;
  BuildMode mode = BuildMode::normal;
  static BuildDerivation decode(Reader& from, Version);
  void encode(Writer& to, const StoreLayout&, Version) const;
};
struct AddSignatures {
  static constexpr Op number = Op::add_signatures;
  using Reply = Done;
  StorePath path;
  std::vector<std::string> signatures;
  static AddSignatures decode(Reader& from, Version);
  void encode(Writer& to, const StoreLayout&, Version) const;
};
struct AddToStoreNar {  ///< a body follows
  static constexpr Op number = Op::add_to_store_nar;
  using Reply = Nothing;
  StorePath path;
  PathInfo info;
  bool repair = false;
  bool dont_check_signatures = false;
  static AddToStoreNar decode(Reader& from, Version);
  void encode(Writer& to, const StoreLayout&, Version) const;
};
struct AddMultipleToStore {  ///< a framed body follows: count, then (path, path info, NAR) each
  static constexpr Op number = Op::add_multiple_to_store;
  using Reply = Nothing;
  bool repair = false;
  bool dont_check_signatures = false;
  static AddMultipleToStore decode(Reader& from, Version);
  void encode(Writer& to, const StoreLayout&, Version) const;
};
struct RegisterDrvOutput {
  static constexpr Op number = Op::register_drv_output;
  using Reply = Nothing;
  std::string realisation;  ///< JSON; before protocol 1.31 the id, and the path beside it
  std::string path{};
  static RegisterDrvOutput decode(Reader& from, Version version);
  void encode(Writer& to, const StoreLayout&, Version version) const;
};
struct AddBuildLog {  ///< a framed body follows
  static constexpr Op number = Op::add_build_log;
  using Reply = Done;
  std::string derivation;
  static AddBuildLog decode(Reader& from, Version);
  void encode(Writer& to, const StoreLayout&, Version) const;
};
struct AddPermRoot {
  static constexpr Op number = Op::add_perm_root;
  using Reply = Text;
  StorePath path;
  std::string link;
  static AddPermRoot decode(Reader& from, Version);
  void encode(Writer& to, const StoreLayout&, Version) const;
};

/// Of a request type.
template <class Request>
[[nodiscard]] constexpr Body body_of(Version) {
  return Body::none;
}
template <>
constexpr Body body_of<AddToStore>(Version version) {
  return version >= since::content_addresses ? Body::framed : Body::archive;
}
template <>
constexpr Body body_of<AddToStoreNar>(Version version) {
  if (version >= since::framed_nar) return Body::framed;
  return version >= since::tunnelled_nar ? Body::tunnelled : Body::archive;
}
template <>
constexpr Body body_of<ImportPaths>(Version) {
  return Body::tunnelled;
}
template <>
constexpr Body body_of<AddMultipleToStore>(Version) {
  return Body::framed;
}
template <>
constexpr Body body_of<AddBuildLog>(Version) {
  return Body::framed;
}

}  // namespace airlock::wire
