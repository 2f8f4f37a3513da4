#include "daemon/policy/build_plan.hpp"

#include <algorithm>
#include <vector>

namespace airlock::policy {

namespace {

bool wanted_outputs_visible(const Derivation& derivation, const std::set<std::string>& wanted,
                            const Scene& scene) {
  return std::all_of(derivation.outputs.begin(), derivation.outputs.end(), [&](const auto& entry) {
    const auto& [name, output] = entry;
    if (!wanted.empty() && !wanted.contains(name)) return true;
    return output.path && scene.visible(*output.path);
  });
}

}  // namespace

BuildPlan plan_build(const wire::Targets& targets, const Scene& scene) {
  BuildPlan plan;
  std::vector<wire::Target> todo;
  for (const auto& target : targets) {
    if (!target.through.empty()) continue;  // never built
    if (target.build)
      todo.push_back(target);
    else if (!scene.visible(target.path))
      plan.missing.insert(target.path);
  }
  while (!todo.empty()) {
    const auto target = std::move(todo.back());
    todo.pop_back();
    if (plan.derivations.contains(target.path)) continue;
    const auto derivation = scene.derivation(target.path);
    if (!derivation) {
      plan.unreadable = target.path;
      continue;
    }
    if (wanted_outputs_visible(*derivation, target.outputs, scene)) continue;
    plan.derivations.insert(target.path);
    if (derivation->kind() == DerivationKind::fixed_output) plan.fixed_output.insert(target.path);
    for (const auto& [name, output] : derivation->outputs) {
      if (!output.path) continue;
      plan.outputs.emplace(*output.path, target.path);
      if (scene.is_own_output(*output.path)) plan.own_output_of = target.path;
    }
    for (const auto& [input, outputs] : derivation->input_derivations)
      todo.push_back({input, true, outputs});
  }
  return plan;
}

}  // namespace airlock::policy
