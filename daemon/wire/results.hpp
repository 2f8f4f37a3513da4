#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "daemon/wire/codec.hpp"

namespace airlock::wire {

/// A path info without its key, as QueryPathInfo replies and AddToStoreNar sends.
struct PathInfo {
  std::optional<StorePath> deriver;
  std::string nar_hash;  ///< base16 of a SHA-256
  StorePathSet references;
  std::uint64_t registration_time = 0;
  std::uint64_t nar_size = 0;
  bool ultimate = false;
  std::vector<std::string> signatures;
  std::string content_address;
  bool operator==(const PathInfo&) const = default;
};
[[nodiscard]] PathInfo read_path_info(Reader& from);
void write_path_info(Writer& to, const PathInfo& info);

/// What to build, or to have: "path", "drv!*", "drv!out,dev", and for a derivation that is itself
/// an output, "drv!out!dev" and so on. Before protocol 1.30 a .drv without outputs means all of
/// them, and the file itself cannot be named.
struct Target {
  StorePath path;
  bool build = false;             ///< path is a derivation whose outputs are wanted
  std::set<std::string> outputs;  ///< empty with build: all of them
  /// The outputs that lead from path to the derivation meant, when that is dynamic.
  std::vector<std::string> through{};
  auto operator<=>(const Target&) const = default;
};
using Targets = std::vector<Target>;
[[nodiscard]] Target read_target(Reader& from, Version version);
[[nodiscard]] std::string print_target(const StoreLayout& layout, const Target& target);
[[nodiscard]] Targets read_targets(Reader& from, Version version);
void write_targets(Writer& to, const StoreLayout& layout, const Targets& targets, Version version);

enum class BuildStatus : std::uint64_t {
  built = 0,
  substituted = 1,
  already_valid = 2,
  permanent_failure = 3,
  input_rejected = 4,
  output_rejected = 5,
  transient_failure = 6,
  cached_failure = 7,
  timed_out = 8,
  misc_failure = 9,
  dependency_failed = 10,
  log_limit_exceeded = 11,
  not_deterministic = 12,
  resolves_to_already_valid = 13,
  no_substituters = 14,
};  // a newer Nix may send others, all of which are failures

struct BuildResult {
  BuildStatus status = BuildStatus::misc_failure;
  std::string error;
  std::uint64_t times_built = 0;
  bool not_deterministic = false;
  std::uint64_t start_time = 0;  ///< Unix time
  std::uint64_t stop_time = 0;
  std::optional<std::uint64_t> cpu_user{};  ///< microseconds
  std::optional<std::uint64_t> cpu_system{};
  /// "sha256:<hex>!<output>", and the realisation as JSON
  std::vector<std::pair<std::string, std::string>> built_outputs{};

  [[nodiscard]] bool succeeded() const;
  bool operator==(const BuildResult&) const = default;
};
[[nodiscard]] BuildResult read_build_result(Reader& from, Version version);
void write_build_result(Writer& to, const BuildResult& result, Version version);

/// What of a result follows from the derivation alone: whether it succeeded or how it failed, and
/// which outputs there are; times and counts are zero, there are no signatures. Throws
/// ConnectionOver when an output's realisation is not what Nix writes.
[[nodiscard]] BuildResult normalised(const BuildResult& result, const StoreLayout& layout);

struct KeyedBuildResult {
  Target target;
  BuildResult result;
  [[nodiscard]] bool succeeded() const { return result.succeeded(); }
  bool operator==(const KeyedBuildResult&) const = default;
};
/// One of a BuildPathsWithResults' reply, after their count.
void write_keyed_result(Writer& to, const Target& target, const BuildResult& result,
                        Version version);

}  // namespace airlock::wire
