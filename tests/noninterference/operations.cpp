// The mix: how often each operation is sent, and with what.
#include "tests/noninterference/operations.hpp"

#include "tests/noninterference/malformed.hpp"
#include "tests/noninterference/uploads.hpp"

namespace noninterference {

namespace {

using namespace airlock;
using wire::Version;

using Make = Exchange (*)(const char* name, World&, Dice&, Version);

struct Row {
  const char* name;
  unsigned weight;
  Make make;
  Version since = wire::oldest;
};

const StoreLayout& layout_of(const World& world) {
  return world.hosts.materials.layout;
}

template <class R>
Exchange on_path(const char* name, World& world, Dice& dice, Version version) {
  const auto path = world.any_path(dice);
  return exchange_of(name, path.base(), R{path}, layout_of(world), version);
}

/// Of derivations that were added, mostly.
template <class R>
Exchange on_derivation(const char* name, World& world, Dice& dice, Version version) {
  const auto* inner = dice.one_in(4) ? nullptr : world.to_build(dice);
  const auto path = inner != nullptr ? inner->path : world.any_path(dice);
  return exchange_of(name, path.base(), R{path}, layout_of(world), version);
}

/// Small ones, mostly: the shell is two megabytes.
template <class R>
Exchange on_archive(const char* name, World& world, Dice& dice, Version version) {
  auto path = world.any_path(dice);
  if (path == world.hosts.materials.shell && !dice.one_in(10)) path = world.hosts.materials.source;
  return exchange_of(name, path.base(), R{path}, layout_of(world), version);
}

template <class R>
Exchange on_paths(const char* name, World& world, Dice& dice, Version version) {
  return exchange_of(name, "some paths", R{world.some_paths(dice)}, layout_of(world), version);
}

template <class R>
Exchange bare(const char* name, World& world, Dice&, Version version) {
  return exchange_of(name, "", R{}, layout_of(world), version);
}

Exchange path_infos(const char* name, World& world, Dice& dice, Version version) {
  wire::QuerySubstitutablePathInfos request;
  for (const auto& path : world.some_paths(dice)) request.paths.emplace_back(path, "");
  return exchange_of(name, "some paths", request, layout_of(world), version);
}

Exchange indirect_root(const char* name, World& world, Dice& dice, Version version) {
  const auto link = "/build/result-" + std::to_string(dice.below(9));
  return exchange_of(name, link, wire::AddIndirectRoot{link}, layout_of(world), version);
}

Exchange hash_part(const char* name, World& world, Dice& dice, Version version) {
  std::string part(world.any_path(dice).hash_part());
  if (dice.one_in(10)) part.resize(dice.below(32));
  return exchange_of(name, part, wire::QueryPathFromHashPart{part}, layout_of(world), version);
}

Exchange realisation(const char* name, World& world, Dice& dice, Version version) {
  const auto id = "sha256:" + sha256(std::to_string(dice.below(50))).base16() + "!out";
  return exchange_of(name, id, wire::QueryRealisation{id}, layout_of(world), version);
}

Exchange register_output(const char* name, World& world, Dice& dice, Version version) {
  const auto path = world.any_path(dice);
  const wire::RegisterDrvOutput request{"sha256:" + sha256("x").base16() + "!out",
                                        layout_of(world).print(path)};
  return exchange_of(name, path.base(), request, layout_of(world), version);
}

Exchange collect(const char* name, World& world, Dice& dice, Version version) {
  const wire::CollectGarbage request{dice.below(4), world.some_paths(dice), dice.one_in(2), 0};
  return exchange_of(name, "", request, layout_of(world), version);
}

Exchange verify(const char* name, World& world, Dice& dice, Version version) {
  return exchange_of(name, "", wire::VerifyStore{dice.one_in(2), dice.one_in(2)}, layout_of(world),
                     version);
}

Exchange signatures(const char* name, World& world, Dice& dice, Version version) {
  const auto path = world.any_path(dice);
  return exchange_of(name, path.base(), wire::AddSignatures{path, {"key-1:AAAA"}}, layout_of(world),
                     version);
}

Exchange permanent_root(const char* name, World& world, Dice& dice, Version version) {
  const auto path = world.any_path(dice);
  return exchange_of(name, path.base(), wire::AddPermRoot{path, "/build/root"}, layout_of(world),
                     version);
}

Exchange valid_paths(const char* name, World& world, Dice& dice, Version version) {
  const wire::QueryValidPaths request{world.some_paths(dice), dice.one_in(3)};
  return exchange_of(name, "some paths", request, layout_of(world), version);
}

Exchange options(const char* name, World& world, Dice& dice, Version version) {
  wire::SetOptions request;
  request.keep_failed = dice.one_in(2);
  request.keep_going = dice.one_in(2);
  request.try_fallback = dice.one_in(2);
  request.verbosity = dice.below(9);
  request.max_build_jobs = dice.below(4);
  request.build_cores = dice.below(3);
  request.use_substitutes = dice.one_in(2);
  const std::vector<std::pair<std::string, std::string>> overrides{
      {"sandbox", "false"},   {"substituters", "file:///nix/cache"}, {"builders", ""},
      {"timeout", "3600"},    {"extra-sandbox-paths", "/etc"},       {"log-lines", "3"},
      {"unknown-one", "x y"}, {"post-build-hook", "/bin/true"}};
  for (auto n = dice.below(3); n > 0; --n) request.overrides.push_back(dice.of(overrides));
  return exchange_of(name, "", request, layout_of(world), version);
}

/// Derivations and, now and then, paths; a wrong output; a dynamic one.
wire::Targets some_targets(World& world, Dice& dice, Version version) {
  wire::Targets targets;
  for (auto n = 1 + dice.below(dice.one_in(3) ? 4 : 1); n > 0; --n) {
    const auto* inner = world.to_build(dice);
    if (inner == nullptr || dice.one_in(12)) {
      const auto path = world.any_path(dice);
      targets.push_back({path, path.is_derivation() && version < wire::since::derived_paths, {}});
      continue;
    }
    wire::Target target{inner->path, true, {}};
    if (dice.one_in(4)) target.outputs = {dice.one_in(8) ? "none" : "out"};
    if (dice.one_in(40)) {
      target.outputs = {"out"};
      target.through = {"out"};
    }
    targets.push_back(target);
  }
  return targets;
}

std::string about(const StoreLayout& layout, const wire::Targets& targets) {
  std::string text;
  for (const auto& target : targets) text += wire::print_target(layout, target) + " ";
  return text;
}

wire::BuildMode some_mode(Dice& dice) {
  if (!dice.one_in(25)) return wire::BuildMode::normal;
  return dice.one_in(2) ? wire::BuildMode::check : wire::BuildMode::repair;
}

/// A target has ended so.
void note(World& world, const wire::Target& target, wire::BuildStatus status) {
  const auto* inner = world.inner_of(target.path);
  if (inner == nullptr || !target.build) return;
  world.results.emplace_back(inner, status);
  wire::BuildResult result;
  result.status = status;
  if (!result.succeeded()) return;
  for (const auto& [name, output] : inner->derivation.outputs)
    if (target.outputs.empty() || target.outputs.contains(name)) world.seen.insert(*output.path);
}

Exchange build_paths(World& world, const wire::Targets& targets, wire::BuildMode mode,
                     Version version) {
  auto exchange = exchange_of<wire::BuildPaths>("BuildPaths", about(layout_of(world), targets),
                                                {targets, mode}, layout_of(world), version,
                                                [&world, targets](const wire::Done&) {
                                                  for (const auto& target : targets)
                                                    note(world, target, wire::BuildStatus::built);
                                                });
  exchange.builds = true;
  return exchange;
}

Exchange some_build(const char*, World& world, Dice& dice, Version version) {
  const auto targets = some_targets(world, dice, version);
  return build_paths(world, targets, some_mode(dice), version);
}

Exchange with_results(const char* name, World& world, Dice& dice, Version version) {
  const auto targets = some_targets(world, dice, version);
  auto exchange = exchange_of<wire::BuildPathsWithResults>(
      name, about(layout_of(world), targets), {targets, some_mode(dice)}, layout_of(world), version,
      [&world](const wire::BuildResults& reply) {
        for (const auto& keyed : reply.results) note(world, keyed.target, keyed.result.status);
      });
  exchange.builds = true;
  return exchange;
}

/// As clients send it, with its inputs resolved; or not quite so.
Exchange one_derivation(const char* name, World& world, Dice& dice, Version version) {
  const auto* found = world.to_build(dice);
  const auto& inner = found != nullptr ? *found : *dice.of(world.inners);
  wire::BuildDerivation request{inner.path, {}, inner.derivation.input_sources};
  request.platform = inner.derivation.platform;
  request.builder = inner.derivation.builder;
  request.arguments = inner.derivation.arguments;
  for (const auto& [key, value] : inner.derivation.environment)
    request.environment.emplace_back(key, value);
  for (const auto& [output, made] : inner.derivation.outputs)
    request.outputs.push_back(
        {output, layout_of(world).print(*made.path), made.hash_algorithm, made.hash});
  for (const auto& [input, outputs] : inner.derivation.input_derivations)
    request.input_sources.insert(*world.inner_of(input)->derivation.outputs.at("out").path);
  if (dice.one_in(10)) request.environment.back().second += "!";
  request.mode = some_mode(dice);
  auto exchange = exchange_of<wire::BuildDerivation>(
      name, inner.path.base(), request, layout_of(world), version,
      [&world, path = inner.path](const wire::OneBuildResult& reply) {
        note(world, {path, true, {}}, reply.result.status);
      });
  exchange.builds = true;
  return exchange;
}

Exchange missing(const char* name, World& world, Dice& dice, Version version) {
  const auto targets = some_targets(world, dice, version);
  return exchange_of(name, about(layout_of(world), targets), wire::QueryMissing{targets},
                     layout_of(world), version);
}

using namespace wire;
const std::vector<Row> rows{
    {"IsValidPath", 6, &on_path<IsValidPath>},
    {"HasSubstitutes", 2, &on_path<HasSubstitutes>},
    {"QueryPathHash", 3, &on_path<QueryPathHash>},
    {"QueryReferences", 3, &on_path<QueryReferences>},
    {"QueryReferrers", 5, &on_path<QueryReferrers>},
    {"AddToStore", 10, &add_content},
    {"AddToStore", 6, &add_derivation_as_file},
    {"AddTextToStore", 4, &add_text},
    {"AddTextToStore", 14, &add_derivation},
    {"BuildPaths", 9, &some_build},
    {"EnsurePath", 4, &on_path<EnsurePath>},
    {"AddTempRoot", 3, &on_path<AddTempRoot>},
    {"AddIndirectRoot", 2, &indirect_root},
    {"SyncWithGC", 1, &bare<SyncWithGC>},
    {"FindRoots", 1, &bare<FindRoots>},
    {"ExportPath", 3, &on_archive<ExportPath>},
    {"QueryDeriver", 3, &on_path<QueryDeriver>},
    {"SetOptions", 5, &options},
    {"CollectGarbage", 1, &collect},
    {"QuerySubstitutablePathInfo", 2, &on_path<QuerySubstitutablePathInfo>},
    {"QueryDerivationOutputs", 3, &on_derivation<QueryDerivationOutputs>},
    {"QueryAllValidPaths", 5, &bare<QueryAllValidPaths>},
    {"QueryPathInfo", 9, &on_path<QueryPathInfo>},
    {"ImportPaths", 1, &import_paths},
    {"QueryDerivationOutputNames", 2, &on_derivation<QueryDerivationOutputNames>},
    {"QueryPathFromHashPart", 4, &hash_part},
    {"QuerySubstitutablePathInfos", 2, &path_infos},
    {"QueryValidPaths", 5, &valid_paths},
    {"QuerySubstitutablePaths", 2, &on_paths<QuerySubstitutablePaths>},
    {"QueryValidDerivers", 4, &on_path<QueryValidDerivers>},
    {"OptimiseStore", 1, &bare<OptimiseStore>},
    {"VerifyStore", 1, &verify},
    {"BuildDerivation", 6, &one_derivation},
    {"AddSignatures", 1, &signatures},
    {"NarFromPath", 5, &on_archive<NarFromPath>},
    {"AddToStoreNar", 10, &add_archive},
    {"QueryMissing", 6, &missing},
    {"QueryDerivationOutputMap", 4, &on_derivation<QueryDerivationOutputMap>, {1, 22}},
    {"RegisterDrvOutput", 1, &register_output, {1, 27}},
    {"QueryRealisation", 3, &realisation, {1, 27}},
    {"AddMultipleToStore", 6, &add_archives, {1, 32}},
    {"AddBuildLog", 1, &add_log, {1, 32}},
    {"BuildPathsWithResults", 9, &with_results, {1, 34}},
    {"AddPermRoot", 1, &permanent_root, {1, 36}},
    {"(malformed)", 4, &malformed},
};

}  // namespace

Exchange any_operation(World& world, Dice& dice, Version version) {
  unsigned total = 0;
  for (const auto& row : rows) total += row.weight;
  for (;;) {
    auto left = dice.below(total);
    const auto* row = rows.data();
    for (; left >= row->weight; ++row) left -= row->weight;
    // What the version does not have ends the connection: that is sent less often.
    if (row->since > version && !dice.one_in(10)) continue;
    return row->make(row->name, world, dice, version);
  }
}

Exchange small_question(const World& world, Dice& dice, Version version) {
  const auto path = world.any_path(dice);
  return exchange_of("IsValidPath", path.base(), IsValidPath{path}, layout_of(world), version);
}

Exchange time_limit(Dice& dice, const World& world, Version version) {
  wire::SetOptions request;
  if (dice.one_in(2))
    request.max_silent_time = 1;
  else
    request.overrides.emplace_back("timeout", "1");
  return exchange_of("SetOptions", "one second", request, layout_of(world), version);
}

Exchange build_of(World& world, const Inner& inner, Version version) {
  return build_paths(world, {{inner.path, true, {}}}, wire::BuildMode::normal, version);
}

}  // namespace noninterference
