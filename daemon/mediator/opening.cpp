#include "daemon/mediator/opening.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <vector>

#include "daemon/mediator/lock_files.hpp"
#include "daemon/mediator/session.hpp"
#include "daemon/policy/fixed_output.hpp"

namespace airlock {

namespace {

/// The sources, and the outputs of input derivations that the derivation asks for.
tl::expected<std::set<StorePath>, std::string> direct_inputs(const Config& config,
                                                             const Derivation& derivation) {
  auto inputs = derivation.input_sources;
  for (const auto& [path, wanted] : derivation.input_derivations) {
    const auto input = read_derivation(config, path);
    if (!input) return tl::unexpected(input.error());
    for (const auto& name : wanted) {
      const auto output = input->outputs.find(name);
      if (output == input->outputs.end() || !output->second.path)
        return tl::unexpected(
            fmt::format("the output {} of its input {} has no path before it is built", name,
                        config.layout.print(path)));
      inputs.insert(*output->second.path);
    }
  }
  return inputs;
}

tl::expected<Boundary::SearchPath, std::string> search_path_of(const Derivation& derivation,
                                                               const StoreLayout& layout,
                                                               const std::set<StorePath>& inputs) {
  Boundary::SearchPath search_path;
  const auto entries = derivation.list("airlockNixPath");
  if (!entries) return search_path;
  for (const auto& entry : *entries) {
    const auto equals = entry.find('=');
    if (equals == std::string::npos || equals == 0)
      return tl::unexpected(
          fmt::format("airlockNixPath: '{}' is not of the form name=store path", entry));
    auto path = layout.parse(std::string_view(entry).substr(equals + 1));
    if (!path) return tl::unexpected(fmt::format("airlockNixPath: '{}': {}", entry, path.error()));
    if (!inputs.contains(*path))
      return tl::unexpected(
          fmt::format("airlockNixPath: {} is not in the closure of the derivation's inputs; "
                      "interpolate it (\"name=${{path}}\") so that it becomes one",
                      layout.print(*path)));
    search_path.emplace_back(entry.substr(0, equals), *std::move(path));
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

tl::expected<std::optional<Opening>, std::string> prepare_session(const Config& config,
                                                                  const StorePath& path,
                                                                  const UpstreamFactory& connect) {
  auto derivation = read_derivation(config, path);
  if (!derivation) return tl::unexpected(derivation.error());
  if (!asks(*derivation, config.features)) return std::nullopt;
  if (auto refusal = refusal_of(*derivation)) return tl::unexpected(*std::move(refusal));

  if (const auto policy = policy::fixed_output_of(*derivation, config.fixed_output); !policy)
    return tl::unexpected(policy.error());
  const auto inputs = direct_inputs(config, *derivation);
  if (!inputs) return tl::unexpected(inputs.error());
  Opening opening{*std::move(derivation), {}, {}, {}};
  std::optional<StorePath> missing;
  opening.inputs =
      PathInfos(config.layout, connect).whole_closure(*inputs, [&](const StorePath& input) {
        missing = input;
      });
  if (missing)
    return tl::unexpected(fmt::format("its input {} is not valid", config.layout.print(*missing)));
  auto search_path = search_path_of(opening.derivation, config.layout, opening.inputs);
  if (!search_path) return tl::unexpected(search_path.error());
  opening.search_path = *std::move(search_path);
  auto locks = locks_of(opening.derivation, config.layout, opening.inputs);
  if (!locks) return tl::unexpected(locks.error());
  opening.locks = *std::move(locks);
  return opening;
}

}  // namespace airlock
