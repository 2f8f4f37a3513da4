#include "daemon/wire/results.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "daemon/core/quote.hpp"

namespace airlock::wire {

namespace {

constexpr std::uint64_t longest_target = 64 * 1024;
constexpr std::uint64_t longest_realisation_id = 4096;
constexpr std::uint64_t longest_realisation = 1 << 20;

/// In a realisation an output path is a base name, in some versions a full path.
StorePath realised_path(const StoreLayout& layout, const std::string& text) {
  auto parsed = StorePath::parse(text);
  if (!parsed) parsed = layout.parse(text);
  if (!parsed) throw ConnectionOver("a realisation names an output that is not a store path");
  return *std::move(parsed);
}

std::string normalised_realisation(const std::string& id, const std::string& text,
                                   const StoreLayout& layout) {
  const auto json = nlohmann::json::parse(text, nullptr, false);
  if (!json.is_object() || !json.contains("outPath") || !json["outPath"].is_string())
    throw ConnectionOver("a realisation is not the JSON that Nix writes");
  return nlohmann::json{
      {"id", id},
      {"outPath", realised_path(layout, json["outPath"].get<std::string>()).base()},
      {"signatures", nlohmann::json::array()},
      {"dependentRealisations", nlohmann::json::object()}}
      .dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

std::vector<std::string_view> split(std::string_view text, char separator) {
  std::vector<std::string_view> parts;
  for (;;) {
    const auto end = text.find(separator);
    parts.push_back(text.substr(0, end));
    if (end == std::string_view::npos) return parts;
    text.remove_prefix(end + 1);
  }
}

/// "*", or names in any order. Empty: all of them.
std::set<std::string> read_outputs(Reader& from, std::string_view list, const std::string& text) {
  std::set<std::string> outputs;
  if (list == "*") return outputs;
  for (const auto name : split(list, ',')) {
    if (name.empty())
      throw ConnectionOver(fmt::format("the build target {} names no output", quote(text)));
    // "*,*" is a set of one name, and would be passed on as all outputs.
    if (name.find('*') != std::string_view::npos)
      throw ConnectionOver(fmt::format("the build target {} has * among names", quote(text)));
    if (!outputs.empty() && name <= *outputs.rbegin()) from.not_canonical();
    outputs.emplace(name);
  }
  return outputs;
}

std::optional<std::uint64_t> read_cpu_time(Reader& from) {
  const auto tag = from.u64();
  if (tag > 1) throw ConnectionOver("a CPU time has a tag that no Nix sends");
  return tag == 0 ? std::nullopt : std::optional(from.u64());
}

void write_cpu_time(Writer& to, const std::optional<std::uint64_t>& time) {
  to.u64(time ? 1 : 0);
  if (time) to.u64(*time);
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

Target read_target(Reader& from, Version version) {
  const auto text = from.string(longest_target, "a build target");
  from.parts(static_cast<std::uint64_t>(
      std::count_if(text.begin(), text.end(), [](char c) { return c == '!' || c == ','; })));
  auto parts = split(text, '!');
  auto path = from.layout().parse(parts.front());
  if (!path) throw ConnectionOver(path.error());
  Target target{*std::move(path), parts.size() > 1, {}, {}};
  if (!target.build) {
    target.build = version < since::derived_paths && target.path.is_derivation();
    return target;
  }
  if (!target.path.is_derivation())
    throw ConnectionOver(fmt::format("the build target {} is not a derivation", quote(text)));
  target.outputs = read_outputs(from, parts.back(), text);
  if (version < since::derived_paths && target.outputs.empty() && parts.size() == 2)
    from.not_canonical();
  for (std::size_t i = 1; i + 1 < parts.size(); ++i) {
    if (parts[i].empty() || parts[i].find_first_of("*,") != std::string_view::npos)
      throw ConnectionOver(fmt::format("the build target {} leads through no output", quote(text)));
    target.through.emplace_back(parts[i]);
  }
  return target;
}

std::string print_target(const StoreLayout& layout, const Target& target) {
  if (!target.build) return layout.print(target.path);
  auto text = layout.print(target.path);
  for (const auto& name : target.through) text += "!" + name;
  return text + "!" +
         (target.outputs.empty() ? "*" : fmt::format("{}", fmt::join(target.outputs, ",")));
}

Targets read_targets(Reader& from, Version version) {
  Targets targets;
  for (auto n = from.count(); n > 0; --n) targets.push_back(read_target(from, version));
  return targets;
}

void write_targets(Writer& to, const StoreLayout& layout, const Targets& targets, Version version) {
  to.u64(targets.size());
  for (const auto& target : targets) {
    const bool bare = version < since::derived_paths && target.outputs.empty();
    to.string(bare && target.through.empty() ? layout.print(target.path)
                                             : print_target(layout, target));
  }
}

bool BuildResult::succeeded() const {
  return status == BuildStatus::built || status == BuildStatus::substituted ||
         status == BuildStatus::already_valid || status == BuildStatus::resolves_to_already_valid;
}

BuildResult read_build_result(Reader& from, Version version) {
  BuildResult result;
  result.status = static_cast<BuildStatus>(from.u64());
  result.error = from.string();
  if (version >= since::build_times) {
    result.times_built = from.u64();
    result.not_deterministic = from.boolean();
    result.start_time = from.u64();
    result.stop_time = from.u64();
  }
  if (version >= since::cpu_times) {
    result.cpu_user = read_cpu_time(from);
    result.cpu_system = read_cpu_time(from);
  }
  if (version < since::built_outputs) return result;
  for (auto n = from.count(); n > 0; --n)
    result.built_outputs.push_back({from.string(longest_realisation_id, "the id of a realisation"),
                                    from.string(longest_realisation, "a realisation")});
  return result;
}

void write_build_result(Writer& to, const BuildResult& result, Version version) {
  to.u64(static_cast<std::uint64_t>(result.status));
  to.string(result.error);
  if (version >= since::build_times) {
    to.u64(result.times_built);
    to.boolean(result.not_deterministic);
    to.u64(result.start_time);
    to.u64(result.stop_time);
  }
  if (version >= since::cpu_times) {
    write_cpu_time(to, result.cpu_user);
    write_cpu_time(to, result.cpu_system);
  }
  if (version < since::built_outputs) return;
  to.u64(result.built_outputs.size());
  for (const auto& [id, realisation] : result.built_outputs) {
    to.string(id);
    to.string(realisation);
  }
}

void write_keyed_result(Writer& to, const Target& target, const BuildResult& result,
                        Version version) {
  to.string(print_target(to.layout(), target));
  write_build_result(to, result, version);
}

BuildResult normalised(const BuildResult& result, const StoreLayout& layout) {
  BuildResult normal;
  normal.status = result.succeeded() ? BuildStatus::built : result.status;
  normal.error = result.error;
  for (const auto& [id, realisation] : result.built_outputs)
    normal.built_outputs.emplace_back(id, normalised_realisation(id, realisation, layout));
  return normal;
}

}  // namespace airlock::wire
