#include "daemon/wire/results.hpp"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

namespace airlock::wire {

namespace {

constexpr Version cpu_times{1, 37};

/// In a realisation an output path is a base name, in some versions a full path.
StorePath realised_path(const StoreLayout& layout, const std::string& text) {
  auto parsed = StorePath::parse(text);
  if (!parsed) parsed = layout.parse(text);
  if (!parsed) throw ConnectionOver("a realisation names an output that is not a store path");
  return *std::move(parsed);
}

BuiltOutput read_built_output(Reader& from) {
  const auto id = from.string(4096, "the id of a realisation");
  const auto text = from.string(1 << 20, "a realisation");
  const auto json = nlohmann::json::parse(text, nullptr, false);
  if (!json.is_object() || !json.contains("outPath") || !json["outPath"].is_string())
    throw ConnectionOver("a realisation is not the JSON that Nix writes");
  return {id, realised_path(from.layout(), json["outPath"].get<std::string>())};
}

}  // namespace

PathInfo read_path_info(Reader& from) {
  PathInfo info;
  info.deriver = from.optional_path();
  info.nar_hash = from.string(256, "a hash");
  info.references = from.paths();
  info.registration_time = from.u64();
  info.nar_size = from.u64();
  info.ultimate = from.boolean();
  info.signatures = from.strings();
  info.content_address = from.string(1024, "a content address");
  return info;
}

void write_path_info(Writer& to, const PathInfo& info) {
  to.optional_path(info.deriver);
  to.string(info.nar_hash);
  to.paths(info.references);
  to.u64(info.registration_time);
  to.u64(info.nar_size);
  to.boolean(info.ultimate);
  to.strings(info.signatures);
  to.string(info.content_address);
}

Target read_target(Reader& from) {
  const auto text = from.string(64 * 1024, "a build target");
  const auto bang = text.find('!');
  auto path = from.layout().parse(std::string_view(text).substr(0, bang));
  if (!path) throw ConnectionOver(path.error());
  Target target{*std::move(path), bang != std::string::npos, {}};
  if (!target.build) return target;
  std::string_view rest = std::string_view(text).substr(bang + 1);
  if (rest.find('!') != std::string_view::npos)
    throw ConnectionOver(fmt::format(
        "the build target {} is a dynamic derivation, which airlock does not take", text));
  if (!target.path.is_derivation())
    throw ConnectionOver(fmt::format("the build target {} is not a derivation", text));
  if (rest == "*") return target;
  while (!rest.empty()) {
    const auto comma = rest.find(',');
    target.outputs.emplace(rest.substr(0, comma));
    rest = comma == std::string_view::npos ? std::string_view() : rest.substr(comma + 1);
  }
  if (target.outputs.empty() || target.outputs.contains(""))
    throw ConnectionOver(fmt::format("the build target {} names no output", text));
  return target;
}

std::string print_target(const StoreLayout& layout, const Target& target) {
  if (!target.build) return layout.print(target.path);
  return layout.print(target.path) + "!" +
         (target.outputs.empty() ? "*" : fmt::format("{}", fmt::join(target.outputs, ",")));
}

Targets read_targets(Reader& from) {
  Targets targets;
  for (auto n = from.count(); n > 0; --n) targets.push_back(read_target(from));
  return targets;
}

void write_targets(Writer& to, const StoreLayout& layout, const Targets& targets) {
  to.u64(targets.size());
  for (const auto& target : targets) to.string(print_target(layout, target));
}

bool BuildResult::succeeded() const {
  return status == BuildStatus::built || status == BuildStatus::substituted ||
         status == BuildStatus::already_valid || status == BuildStatus::resolves_to_already_valid;
}

BuildResult read_build_result(Reader& from, Version version) {
  BuildResult result{read_target(from), BuildStatus::misc_failure, {}, {}};
  const auto status = from.u64();
  // A newer Nix may know more failures; all of them are failures.
  result.status = status <= static_cast<std::uint64_t>(BuildStatus::no_substituters)
                      ? static_cast<BuildStatus>(status)
                      : BuildStatus::misc_failure;
  result.error = from.string();
  for (int i = 0; i < 4; ++i) (void)from.u64();  // times built, non-determinism, start, stop
  if (version >= cpu_times)
    for (int i = 0; i < 2; ++i)
      if (from.u64() != 0) (void)from.u64();
  for (auto n = from.count(); n > 0; --n) result.outputs.push_back(read_built_output(from));
  return result;
}

void write_build_result(Writer& to, const StoreLayout& layout, const BuildResult& result,
                        Version version) {
  to.string(print_target(layout, result.target));
  to.u64(static_cast<std::uint64_t>(result.succeeded() ? BuildStatus::built : result.status));
  to.string(result.error);
  for (int i = 0; i < 4; ++i) to.u64(0);
  if (version >= cpu_times)
    for (int i = 0; i < 2; ++i) to.u64(0);
  to.u64(result.outputs.size());
  for (const auto& output : result.outputs) {
    to.string(output.id);
    to.string(nlohmann::json{{"id", output.id},
                             {"outPath", output.path.base()},
                             {"signatures", nlohmann::json::array()},
                             {"dependentRealisations", nlohmann::json::object()}}
                  .dump());
  }
}

}  // namespace airlock::wire
