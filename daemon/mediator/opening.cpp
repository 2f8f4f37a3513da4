#include "daemon/mediator/opening.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <vector>

#include "daemon/core/quote.hpp"
#include "daemon/mediator/lock_files.hpp"
#include "daemon/mediator/session.hpp"
#include "daemon/policy/fixed_output.hpp"
#include "daemon/policy/nix_config.hpp"
#include "fusefs/boundary/view_words.hpp"

namespace airlock {

namespace {

tl::unexpected<Refusal> of_derivation(std::string reason) {
  return tl::unexpected(Refusal{std::move(reason), true});
}

tl::unexpected<Refusal> of_host(std::string reason) {
  return tl::unexpected(Refusal{std::move(reason), false});
}

/// The sources, and the outputs of input derivations that the derivation asks for.
tl::expected<std::set<StorePath>, Refusal> direct_inputs(const Config& config,
                                                         const Derivation& derivation) {
  auto inputs = derivation.input_sources;
  for (const auto& [path, wanted] : derivation.input_derivations) {
    const auto input = read_derivation(config, path);
    if (!input) return of_host(input.error());
    for (const auto& name : wanted) {
      const auto output = input->outputs.find(name);
      if (output == input->outputs.end() || !output->second.path)
        return of_derivation(
            fmt::format("the output {} of its input {} has no path before it is built", name,
                        config.layout.print(path)));
      inputs.insert(*output->second.path);
    }
  }
  return inputs;
}

using SearchPath = decltype(Boundary::View::search_path);

/// One "name=path"; the error is a sentence.
tl::expected<SearchPath::value_type, std::string> search_path_entry(
    const std::string& entry, const StoreLayout& layout, const std::set<StorePath>& inputs) {
  const auto equals = entry.find('=');
  if (equals == std::string::npos || equals == 0)
    return tl::unexpected(fmt::format("{} is not of the form name=store path", quote(entry)));
  auto name = entry.substr(0, equals);
  if (!boundary::is_channel_name(name))
    return tl::unexpected(
        fmt::format("{} is not a name that the search path can have: letters, digits and + . _ -",
                    quote(name)));
  auto path = layout.parse(std::string_view(entry).substr(equals + 1));
  if (!path) return tl::unexpected(fmt::format("{}: {}", quote(entry), path.error()));
  if (!inputs.contains(*path))
    return tl::unexpected(
        fmt::format("{} is not in the closure of the derivation's inputs; "
                    "interpolate it (\"name=${{path}}\") so that it becomes one",
                    layout.print(*path)));
  return SearchPath::value_type(std::move(name), *std::move(path));
}

tl::expected<SearchPath, std::string> search_path_of(const Derivation& derivation,
                                                     const StoreLayout& layout,
                                                     const std::set<StorePath>& inputs) {
  SearchPath search_path;
  if (!derivation.has("airlockNixPath")) return search_path;
  const auto entries = derivation.list("airlockNixPath");
  if (!entries)
    return tl::unexpected<std::string>("airlockNixPath is not a list of \"name=store path\"");
  if (entries->size() > boundary::max_channels)
    return tl::unexpected(
        fmt::format("airlockNixPath has more than {} entries", boundary::max_channels));
  std::set<std::string> names;
  for (const auto& text : *entries) {
    auto entry = search_path_entry(text, layout, inputs);
    if (!entry) return tl::unexpected("airlockNixPath: " + entry.error());
    if (!names.insert(entry->first).second)
      return tl::unexpected(
          fmt::format("airlockNixPath: '{}' is there twice: remove one", entry->first));
    search_path.push_back(*std::move(entry));
  }
  return search_path;
}

bool asks(const Derivation& derivation, const std::vector<std::string>& features) {
  return std::any_of(features.begin(), features.end(), [&](const std::string& feature) {
    return derivation.requires_feature(feature);
  });
}

std::optional<std::string> refusal_of(const Derivation& derivation) {
  switch (derivation.kind()) {
    case DerivationKind::floating:
    case DerivationKind::deferred:
    case DerivationKind::impure:
      return "its output paths are not known before it is built, so references to what it builds "
             "inside could not be "
             "registered; make it input-addressed or fixed-output";
    case DerivationKind::input_addressed:
    case DerivationKind::fixed_output:
      break;
  }
  if (derivation.flag("__noChroot"))
    return "it asks to be built without the sandbox (__noChroot), where no airlock can hold";
  return std::nullopt;
}

}  // namespace

tl::expected<std::optional<Opening>, Refusal> prepare_session(const Config& config,
                                                              const StorePath& path, bool announced,
                                                              const UpstreamFactory& connect) {
  auto derivation = read_derivation(config, path);
  if (!derivation) return of_host(derivation.error());
  if (!asks(*derivation, config.features)) return std::nullopt;
  if (auto refusal = refusal_of(*derivation)) return of_derivation(*std::move(refusal));
  if (const auto policy = policy::fixed_output_of(*derivation, config.fixed_output); !policy)
    return of_derivation(policy.error());
  auto settings = policy::nix_config_of(*derivation);
  if (!settings) return of_derivation(settings.error());
  if (derivation->flag("airlockEtcNix") && !announced)
    return of_host(
        "airlockEtcNix needs the pre-build hook, and this machine runs airlock without it (static "
        "mode): leave the attribute out and source /nix/var/airlock/env inside instead");

  const auto inputs = direct_inputs(config, *derivation);
  if (!inputs) return tl::unexpected(inputs.error());
  Opening opening{*std::move(derivation), {}, {}, {}};
  std::optional<StorePath> missing;
  opening.inputs =
      paths_in(PathInfos(config.layout, connect).closure(*inputs, {}, [&](const StorePath& input) {
        missing = input;
      }));
  if (missing)
    return of_host(fmt::format("its input {} is not valid", config.layout.print(*missing)));
  auto search_path = search_path_of(opening.derivation, config.layout, opening.inputs);
  if (!search_path) return of_derivation(search_path.error());
  opening.view = {*std::move(search_path), *std::move(settings)};
  auto locks = locks_of(opening.derivation, config.layout, opening.inputs);
  if (!locks) return of_derivation(locks.error());
  opening.locks = *std::move(locks);
  return opening;
}

}  // namespace airlock
