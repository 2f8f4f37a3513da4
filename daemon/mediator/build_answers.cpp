#include "daemon/mediator/build_answers.hpp"

#include <fmt/format.h>

#include "daemon/mediator/failure_text.hpp"
#include "daemon/mediator/upstream.hpp"
#include "daemon/policy/build_plan.hpp"

namespace airlock {

namespace {

using wire::BuildResult;
using wire::BuildStatus;
using Results = std::map<StorePath, BuildResult>;
using Reasons = std::map<StorePath, std::string>;

/// Of many that failed, so many are named to a client; the log has had all of them.
constexpr std::size_t most_causes = 10;

bool failed_because_of_others(const BuildResult& result) {
  return abandoned(result) || result.status == BuildStatus::dependency_failed;
}

/// The derivations that failed by themselves.
std::set<StorePath> own_failures(const Results& made) {
  std::set<StorePath> failed;
  for (const auto& [path, result] : made)
    if (!result.succeeded() && !failed_because_of_others(result)) failed.insert(path);
  return failed;
}

/// Why this one failed: of those that it needs, where it did only because others did.
std::set<StorePath> causes_of(const StorePath& derivation, const std::set<StorePath>& failed,
                              const policy::Scene& scene) {
  if (failed.contains(derivation)) return {derivation};
  std::set<StorePath> causes;
  for (const auto& needed : policy::plan_build({{derivation, true, {}}}, scene).derivations)
    if (failed.contains(needed)) causes.insert(needed);
  if (causes.empty()) causes.insert(derivation);
  return causes;
}

/// Of the outputs that were built, those that this target is about.
void keep_wanted_outputs(BuildResult& result, const wire::Target& target) {
  if (target.outputs.empty()) return;
  std::erase_if(result.built_outputs, [&](const auto& built) {
    return !target.outputs.contains(built.first.substr(built.first.find('!') + 1));
  });
}

/// A fault in it is upstream's: the client has asked well.
BuildResult normal(const BuildResult& result, const StoreLayout& layout) {
  try {
    return wire::normalised(result, layout);
  } catch (const ConnectionOver& over) {
    throw UpstreamLost(fmt::format("nix-daemon: {}", over.what()));
  }
}

/// What was made of each, with the sentences for what failed in place of upstream's.
Results by_derivation(BuildOutcome outcome, const StoreLayout& layout) {
  Results made;
  for (auto& [target, result] : outcome.results) {
    if (!result.succeeded() && !abandoned(result)) {
      const auto refused = outcome.refused.find(target.path);
      result.error = refused == outcome.refused.end()
                         ? failure_text(target.path, result, layout)
                         : fmt::format("airlock refuses to build '{}': {}",
                                       layout.print(target.path), refused->second);
    }
    made.try_emplace(target.path, std::move(result));
  }
  return made;
}

/// Of each that failed.
Reasons take_reasons(Results& made, const StoreLayout& layout) {
  Reasons reasons;
  for (auto& [path, result] : made) {
    if (result.succeeded()) continue;
    reasons.emplace(path, result.error.empty()
                              ? fmt::format("build of '{}' failed", layout.print(path))
                              : std::move(result.error));
  }
  return reasons;
}

}  // namespace

bool abandoned(const BuildResult& result) {
  return result.status == BuildStatus::misc_failure && result.error.empty();
}

BuildAnswers::BuildAnswers(const wire::Targets& targets, BuildOutcome outcome,
                           const policy::Scene& scene) {
  const auto& layout = scene.layout();
  auto made = by_derivation(std::move(outcome), layout);
  // From 2.3x on what was given up because another target failed first has no result at all.
  for (const auto& target : targets)
    if (target.build) made.try_emplace(target.path);
  const auto failed = own_failures(made);
  std::set<StorePath> all_causes;
  for (const auto& target : targets) {
    if (!target.build || of_.contains(target.path)) continue;
    const auto& result = made.at(target.path);
    auto& answer = of_[target.path];
    answer.result = normal(result, layout);
    answer.result.error.clear();
    if (result.succeeded()) continue;
    const auto causes = causes_of(target.path, failed, scene);
    answer.causes = first_of(causes);
    if (failed_because_of_others(result)) answer.result.status = BuildStatus::dependency_failed;
    all_causes.insert(causes.begin(), causes.end());
  }
  reasons_ = take_reasons(made, layout);
  failures_ = text_of(first_of(all_causes));
}

/// In the order of their names, since upstream's order is its own.
BuildAnswers::Causes BuildAnswers::first_of(const std::set<StorePath>& causes) {
  Causes first;
  for (const auto& path : causes)
    if (first.named.size() < most_causes) first.named.push_back(path);
  first.more = causes.size() - first.named.size();
  return first;
}

std::string BuildAnswers::text_of(const Causes& causes) const {
  std::string text;
  for (const auto& path : causes.named) {
    if (!text.empty()) text += "\n";
    text += reasons_.at(path);
  }
  if (causes.more > 0) text += fmt::format("\nand {} more", causes.more);
  return text;
}

bool BuildAnswers::succeeded(const wire::Target& target) const {
  return !target.build || of_.at(target.path).result.succeeded();
}

BuildResult BuildAnswers::of(const wire::Target& target) const {
  if (!target.build) return {BuildStatus::built, {}};
  const auto& answer = of_.at(target.path);
  auto result = answer.result;
  result.error = text_of(answer.causes);
  keep_wanted_outputs(result, target);
  return result;
}

}  // namespace airlock
