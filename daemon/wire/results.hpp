#pragma once

#include <map>
#include <optional>
#include <string>

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

/// What to build, or to have: "path", "drv!*", "drv!out,dev".
struct Target {
  StorePath path;
  bool build = false;             ///< path is a derivation whose outputs are wanted
  std::set<std::string> outputs;  ///< empty with build: all of them
  auto operator<=>(const Target&) const = default;
};
using Targets = std::vector<Target>;
[[nodiscard]] Target read_target(Reader& from);
[[nodiscard]] std::string print_target(const StoreLayout& layout, const Target& target);
[[nodiscard]] Targets read_targets(Reader& from);
void write_targets(Writer& to, const StoreLayout& layout, const Targets& targets);

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
};

struct BuiltOutput {
  std::string id;  ///< "sha256:<hex>!<output>"
  StorePath path;
};

struct BuildResult {
  Target target;
  BuildStatus status = BuildStatus::misc_failure;
  std::string error;
  std::vector<BuiltOutput> outputs;
  [[nodiscard]] bool succeeded() const;
};

/// A keyed result. Times, signatures and counts are read and dropped: they never travel on.
[[nodiscard]] BuildResult read_build_result(Reader& from, Version version);
/// Writes the normal form: times and counts zero, no signatures.
void write_build_result(Writer& to, const StoreLayout& layout, const BuildResult& result,
                        Version version);

}  // namespace airlock::wire
