#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "daemon/wire/codec.hpp"
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
  query_deriver = 18,
  set_options = 19,
  collect_garbage = 20,
  query_substitutable_path_info = 21,
  query_derivation_outputs = 22,
  query_all_valid_paths = 23,
  query_path_info = 26,
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

/// One struct an operation; each has decode, which reads its arguments after the number, and
/// encode, which writes them: re-encoding what was decoded gives the same bytes. A body that
/// follows (an upload) is not part of it.
///
/// Operations whose arguments have the same shape share a template, and stay different types.
template <Op op>
struct Nullary {
  static Nullary decode(Reader&, Version) { return {}; }
  void encode(Writer&, const StoreLayout&, Version) const {}
};
template <Op op>
struct OnPath {
  StorePath path;
  static OnPath decode(Reader& from, Version) { return {from.path()}; }
  void encode(Writer& to, const StoreLayout&, Version) const { to.path(path); }
};
template <Op op>
struct OnPaths {
  StorePathSet paths;
  static OnPaths decode(Reader& from, Version) { return {from.paths()}; }
  void encode(Writer& to, const StoreLayout&, Version) const { to.paths(paths); }
};
template <Op op>
struct OnText {
  std::string text;
  static OnText decode(Reader& from, Version) { return {from.string(64 * 1024, "an argument")}; }
  void encode(Writer& to, const StoreLayout&, Version) const { to.string(text); }
};
template <Op op>
struct OnTargets {
  Targets targets;
  static OnTargets decode(Reader& from, Version) { return {read_targets(from)}; }
  void encode(Writer& to, const StoreLayout& layout, Version) const {
    write_targets(to, layout, targets);
  }
};
enum class BuildMode : std::uint64_t { normal = 0, repair = 1, check = 2 };
template <Op op>
struct Build {
  Targets targets;
  BuildMode mode = BuildMode::normal;
  static Build decode(Reader& from, Version) {
    auto targets = read_targets(from);
    const auto mode = from.u64();
    if (mode > 2) throw ConnectionOver("unknown build mode");
    return {std::move(targets), static_cast<BuildMode>(mode)};
  }
  void encode(Writer& to, const StoreLayout& layout, Version) const {
    write_targets(to, layout, targets);
    to.u64(static_cast<std::uint64_t>(mode));
  }
};

using IsValidPath = OnPath<Op::is_valid_path>;
using HasSubstitutes = OnPath<Op::has_substitutes>;
using QueryPathHash = OnPath<Op::query_path_hash>;
using QueryReferences = OnPath<Op::query_references>;
using QueryReferrers = OnPath<Op::query_referrers>;
using EnsurePath = OnPath<Op::ensure_path>;
using AddTempRoot = OnPath<Op::add_temp_root>;
using AddIndirectRoot = OnText<Op::add_indirect_root>;
using SyncWithGC = Nullary<Op::sync_with_gc>;
using FindRoots = Nullary<Op::find_roots>;
using QueryDeriver = OnPath<Op::query_deriver>;
using QuerySubstitutablePathInfo = OnPath<Op::query_substitutable_path_info>;
using QueryDerivationOutputs = OnPath<Op::query_derivation_outputs>;
using QueryAllValidPaths = Nullary<Op::query_all_valid_paths>;
using QueryPathInfo = OnPath<Op::query_path_info>;
using QueryDerivationOutputNames = OnPath<Op::query_derivation_output_names>;
using QueryPathFromHashPart = OnText<Op::query_path_from_hash_part>;
using QuerySubstitutablePaths = OnPaths<Op::query_substitutable_paths>;
using QueryValidDerivers = OnPath<Op::query_valid_derivers>;
using OptimiseStore = Nullary<Op::optimise_store>;
using NarFromPath = OnPath<Op::nar_from_path>;
using QueryMissing = OnTargets<Op::query_missing>;
using QueryDerivationOutputMap = OnPath<Op::query_derivation_output_map>;
using RegisterDrvOutput = OnText<Op::register_drv_output>;
using QueryRealisation = OnText<Op::query_realisation>;
using BuildPaths = Build<Op::build_paths>;
using BuildPathsWithResults = Build<Op::build_paths_with_results>;

struct AddToStore {  ///< a framed body follows
  std::string name;
  std::string method;  ///< "text:sha256", "fixed:r:sha256", …
  StorePathSet references;
  bool repair = false;
  static AddToStore decode(Reader& from, Version);
  void encode(Writer& to, const StoreLayout&, Version) const;
};
struct AddTextToStore {
  std::string name;
  std::string text;
  StorePathSet references;
  static AddTextToStore decode(Reader& from, Version);
  void encode(Writer& to, const StoreLayout&, Version) const;
};
struct SetOptions {
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
  static SetOptions decode(Reader& from, Version);
  void encode(Writer& to, const StoreLayout&, Version) const;
};
struct CollectGarbage {
  std::uint64_t action = 0;
  StorePathSet paths;
  bool ignore_liveness = false;
  std::uint64_t max_freed = 0;
  static CollectGarbage decode(Reader& from, Version);
  void encode(Writer& to, const StoreLayout&, Version) const;
};
struct QuerySubstitutablePathInfos {
  std::vector<std::pair<StorePath, std::string>> paths;  ///< path and content address
  static QuerySubstitutablePathInfos decode(Reader& from, Version);
  void encode(Writer& to, const StoreLayout&, Version) const;
};
struct QueryValidPaths {
  StorePathSet paths;
  bool substitute = false;
  static QueryValidPaths decode(Reader& from, Version);
  void encode(Writer& to, const StoreLayout&, Version) const;
};
struct VerifyStore {
  bool check_contents = false;
  bool repair = false;
  static VerifyStore decode(Reader& from, Version);
  void encode(Writer& to, const StoreLayout&, Version) const;
};
/// The derivation is carried whole, but airlock only ever refuses it: its parts are kept as text.
struct BuildDerivation {
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
  std::uint64_t mode = 0;
  static BuildDerivation decode(Reader& from, Version);
  void encode(Writer& to, const StoreLayout&, Version) const;
};
struct AddSignatures {
  StorePath path;
  std::vector<std::string> signatures;
  static AddSignatures decode(Reader& from, Version);
  void encode(Writer& to, const StoreLayout&, Version) const;
};
struct AddToStoreNar {  ///< a framed body follows
  StorePath path;
  PathInfo info;
  bool repair = false;
  bool dont_check_signatures = false;
  static AddToStoreNar decode(Reader& from, Version);
  void encode(Writer& to, const StoreLayout&, Version) const;
};
struct AddMultipleToStore {  ///< a framed body follows: count, then (path, path info, NAR) each
  bool repair = false;
  bool dont_check_signatures = false;
  static AddMultipleToStore decode(Reader& from, Version);
  void encode(Writer& to, const StoreLayout&, Version) const;
};
struct AddBuildLog {  ///< a framed body follows
  std::string derivation;
  static AddBuildLog decode(Reader& from, Version);
  void encode(Writer& to, const StoreLayout&, Version) const;
};
struct AddPermRoot {
  StorePath path;
  std::string link;
  static AddPermRoot decode(Reader& from, Version);
  void encode(Writer& to, const StoreLayout&, Version) const;
};

}  // namespace airlock::wire
