#include "daemon/policy/rules.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "daemon/core/content_address.hpp"
#include "daemon/policy/build_plan.hpp"

namespace airlock::policy {

namespace {

constexpr const char* visible_remedy =
    "make it an input of the derivation that runs Nix, or add or build it inside that build";

Verdict deny(std::string_view rule, std::string reason, std::string remedy) {
  return {Decision::deny, rule, std::move(reason), std::move(remedy)};
}

/// Without a value all is well.
std::optional<Verdict> references_visible(const std::set<StorePath>& references,
                                          const Scene& scene) {
  for (const auto& path : references)
    if (!scene.visible(path))
      return deny(
          "references-visible",
          fmt::format("the reference {} is not visible in this build", scene.layout().print(path)),
          visible_remedy);
  return std::nullopt;
}

std::optional<Verdict> not_repair(bool repair) {
  if (!repair) return std::nullopt;
  return deny("no-repair", "a build may not repair store paths", "leave out --repair");
}

/// The name is the client's; the path that upstream makes of it must be one.
std::optional<Verdict> name_allowed(const std::string& name) {
  const auto path = StorePath::parse(std::string(32, '0') + "-" + name);
  // Which names may begin with a dot differs between versions of Nix, so none may.
  if (path && name.front() == '.')
    return deny("add-name", "the name begins with a dot", "leave the dot out");
  if (path) return std::nullopt;
  return deny("add-name", fmt::format("the name cannot be that of a store path: {}", path.error()),
              "use letters, digits and +-._?=");
}

/// What is not hashed here cannot be compared, neither with what was said nor with what is being
/// built.
std::optional<Verdict> hash_computed(HashAlgorithm algorithm) {
  if (Hasher::computes(algorithm)) return std::nullopt;
  return deny("add-method",
              fmt::format("content addressed by {} cannot be checked here", name_of(algorithm)),
              "address it by sha256");
}

/// Nix makes no other, and by a weaker hash one path could be that of two derivations.
std::optional<Verdict> derivation_is_text(std::string_view name, IngestionMethod method,
                                          HashAlgorithm algorithm) {
  if (!name.ends_with(".drv") ||
      (method == IngestionMethod::text && algorithm == HashAlgorithm::sha256))
    return std::nullopt;
  return deny("derivation-is-text",
              fmt::format("{} would be a derivation, and is not added as text:sha256", name),
              "add it with nix-instantiate or `nix derivation add`, or under a name that does not "
              "end in .drv");
}

std::optional<Verdict> outputs_exist(const wire::Target& target, const Scene& scene) {
  if (!target.build) return std::nullopt;
  const auto derivation = scene.derivation(target.path);
  for (const auto& name : target.outputs)
    if (derivation && !derivation->outputs.contains(name))
      return deny("output-exists",
                  fmt::format("{} has no output '{}'", scene.layout().print(target.path), name),
                  "ask for one that it has");
  return std::nullopt;
}

/// Without a value all is well.
std::optional<Verdict> outputs_known(const Derivation& derivation, const std::string& name) {
  switch (derivation.kind()) {
    case DerivationKind::input_addressed:
    case DerivationKind::fixed_output:
      break;
    case DerivationKind::impure:
      return deny("stay-in-sandbox", fmt::format("{} is an impure derivation", name),
                  "remove __impure");
    case DerivationKind::floating:
    case DerivationKind::deferred:
      return deny("outputs-known",
                  fmt::format("{} has outputs whose paths are only known after the build", name),
                  "use an input-addressed or fixed-output derivation");
  }
  return std::nullopt;
}

/// A derivation as clients send it: of its inputs only the sources, and the outputs that it wants
/// of each input derivation among them.
bool is_resolved_form_of(const wire::BuildDerivation& sent, const Derivation& stored,
                         const Scene& scene) {
  auto sources = stored.input_sources;
  for (const auto& [path, wanted] : stored.input_derivations) {
    const auto input = scene.derivation(path);
    for (const auto& name : wanted) {
      if (!input || !input->outputs.contains(name) || !input->outputs.at(name).path) return false;
      sources.insert(*input->outputs.at(name).path);
    }
  }
  const auto same_output = [&](const wire::BuildDerivation::Output& output) {
    const auto found = stored.outputs.find(output.name);
    return found != stored.outputs.end() && found->second.path &&
           scene.layout().print(*found->second.path) == output.path &&
           found->second.hash_algorithm == output.hash_algorithm &&
           found->second.hash == output.hash;
  };
  return sent.input_sources == sources && sent.platform == stored.platform &&
         sent.builder == stored.builder && sent.arguments == stored.arguments &&
         sent.outputs.size() == stored.outputs.size() &&
         std::all_of(sent.outputs.begin(), sent.outputs.end(), same_output) &&
         std::equal(sent.environment.begin(), sent.environment.end(), stored.environment.begin(),
                    stored.environment.end(), [](const auto& a, const auto& b) {
                      return a.first == b.first && a.second == b.second;
                    });
}

}  // namespace

std::string_view name_of(Decision decision) {
  switch (decision) {
    case Decision::allow:
      return "allow";
    case Decision::answer:
      return "answer";
    case Decision::deny:
      return "deny";
    case Decision::condemn:
      return "condemn";
  }
  return "deny";
}

std::string Verdict::message() const {
  return fmt::format("airlock refused this ({}): {}; to mend it, {}", rule, reason, remedy);
}

Verdict hidden(const StoreLayout& layout, const StorePath& path) {
  return deny("path-visible",
              fmt::format("path '{}' is not valid in this build", layout.print(path)),
              visible_remedy);
}

Verdict never_for_sandboxes() {
  return deny("never", "this operation is not for builds", "do it outside the build");
}

Verdict add(const wire::AddToStore& request, const Scene& scene) {
  if (auto refusal = not_repair(request.repair)) return *refusal;
  if (auto refusal = name_allowed(request.name)) return *refusal;
  const auto method = AddMethod::parse(request.method);
  if (!method) return deny("add-method", method.error(), "use a method that this Nix documents");
  if (auto refusal = derivation_is_text(request.name, method->method, method->algorithm))
    return *refusal;
  if (auto refusal = hash_computed(method->algorithm)) return *refusal;
  // A nix-daemon of 2.8 dies of it.
  const bool may_refer =
      method->method == IngestionMethod::text ||
      (method->method == IngestionMethod::recursive && method->algorithm == HashAlgorithm::sha256);
  if (!may_refer && !request.references.empty())
    return deny("add-method",
                fmt::format("content added as {} may not refer to store paths", request.method),
                "add it as fixed:r:sha256, or without references");
  if (auto refusal = references_visible(request.references, scene)) return *refusal;
  return {Decision::allow, "add", {}, {}};
}

Verdict add_text(const wire::AddTextToStore& request, const Scene& scene) {
  if (auto refusal = name_allowed(request.name)) return *refusal;
  if (auto refusal = references_visible(request.references, scene)) return *refusal;
  return {Decision::allow, "add", {}, {}};
}

Verdict add_multiple(const wire::AddMultipleToStore& request, const Scene&) {
  if (auto refusal = not_repair(request.repair)) return *refusal;
  return {Decision::allow, "add", {}, {}};  // each path is decided by add_nar
}

Verdict add_nar(const wire::AddToStoreNar& request, const Scene& scene) {
  if (auto refusal = not_repair(request.repair)) return *refusal;
  const auto printed = scene.layout().print(request.path);
  if (request.info.content_address.empty())
    return deny(
        "add-content-addressed",
        fmt::format("{} is not content-addressed, so nothing says that its content is right",
                    printed),
        "add it with `nix-store --add` or build it");
  const auto address = ContentAddress::parse(request.info.content_address);
  if (!address)
    return deny("add-content-addressed", address.error(), "send a content address that Nix knows");
  if (address->method == IngestionMethod::git)
    return deny("add-content-addressed",
                "content addressed as git does cannot be sent as a finished path",
                "add it as fixed:r:sha256");
  if (auto refusal =
          derivation_is_text(request.path.name(), address->method, address->hash.algorithm))
    return *refusal;
  if (auto refusal = hash_computed(address->hash.algorithm)) return *refusal;
  References references{request.info.references, false};
  references.self = references.others.erase(request.path) > 0;
  if (auto refusal = references_visible(references.others, scene)) return *refusal;
  // Its content is hashed without the references to itself. Some versions of Nix hash their places
  // as well; for the others, two contents have one path, and which of them is there is the host's.
  if (references.self)
    return deny(
        "add-content-addressed",
        fmt::format("{} refers to itself, and not for every version of Nix does its content "
                    "address say what is in it",
                    printed),
        "build it, or add it without the reference");
  const auto expected = path_of(scene.layout(), request.path.name(), *address, references);
  if (!expected || *expected != request.path)
    return deny("add-content-addressed",
                fmt::format("{} is not the path that its content address gives", printed),
                "send the path that Nix computes");
  return {Decision::allow, "add", {}, {}};
}

Verdict own_output(const std::string& path) {
  return deny("no-cycle",
              fmt::format("{} is the output of the very build that adds it, which would wait for "
                          "itself",
                          path),
              "write it to $out");
}

Verdict add_derivation(const Derivation& derivation, const std::set<StorePath>& references,
                       const Scene& scene) {
  // Here and not only when it is built: whether upstream takes such a one depends on its settings.
  if (auto refusal = outputs_known(derivation, "the derivation")) return *refusal;
  const auto inputs = derivation.references();
  for (const auto& input : inputs) {
    const auto printed = scene.layout().print(input);
    if (!scene.visible(input))
      return deny("derivation-inputs",
                  fmt::format("the derivation's input {} is not visible in this build", printed),
                  visible_remedy);
    if (!references.contains(input))
      return deny("derivation-inputs",
                  fmt::format("the derivation's input {} is not among its references", printed),
                  "add derivations with nix-instantiate or `nix derivation add`");
  }
  return {Decision::allow, "add", {}, {}};
}

Verdict import_paths(const wire::ImportPaths&, const Scene&) {
  return deny("add-content-addressed",
              "an import says nothing of content addresses, so nothing says that it is right",
              "add the paths with `nix-store --add` or build them");
}

Verdict set_options(const wire::SetOptions& request, const Scene&) {
  Verdict verdict{Decision::answer, "session-answers", {}, {}};
  if (const auto names = restricted_settings(request); !names.empty()) {
    verdict.rule = "restricted-settings";
    verdict.reason = restricted_warning(names);
  }
  return verdict;
}

Verdict build_derivation(const wire::BuildDerivation& request, const Scene& scene) {
  if (!scene.visible(request.path)) return hidden(scene.layout(), request.path);
  const auto stored = scene.derivation(request.path);
  if (!stored || !is_resolved_form_of(request, *stored, scene))
    return deny("derivation-as-stored",
                fmt::format("what was sent for {} is not what that file says",
                            scene.layout().print(request.path)),
                "add the derivation first and build it as it is");
  return build({{request.path, true, {}}}, request.mode, scene);
}

Verdict build(const wire::Targets& targets, wire::BuildMode mode, const Scene& scene) {
  if (mode != wire::BuildMode::normal)
    return deny("build-mode", "a build may only build, not check or repair",
                "leave out --check and --repair");
  for (const auto& target : targets)
    if (!scene.visible(target.path)) return hidden(scene.layout(), target.path);
  for (const auto& target : targets)
    if (!target.through.empty())
      return deny("no-dynamic-derivations",
                  fmt::format("{} is a derivation that another one makes",
                              wire::print_target(scene.layout(), target)),
                  "build derivations that are there before the build");
  const auto plan = plan_build(targets, scene);
  if (plan.unreadable)
    return deny("derivation-readable",
                fmt::format("the derivation {} cannot be read in this build",
                            scene.layout().print(*plan.unreadable)),
                visible_remedy);
  if (plan.own_output_of)
    return deny(
        "no-cycle",
        fmt::format(
            "{} makes an output of the very build that asks for it, which would wait for itself",
            scene.layout().print(*plan.own_output_of)),
        "break the cycle");
  for (const auto& target : targets)
    if (auto refusal = outputs_exist(target, scene)) return *refusal;
  for (const auto& path : plan.derivations) {
    const auto derivation = scene.derivation(path);
    const auto printed = scene.layout().print(path);
    // Not every visible file of such a name was added as a derivation and decided then: a build can
    // make one. What it names is decided here in any case.
    if (auto verdict = add_derivation(*derivation, derivation->references(), scene);
        verdict.refused())
      return verdict;
    for (const auto& [name, output] : derivation->outputs)
      if (output.path && output.path->is_derivation())
        return deny("outputs-no-derivations",
                    fmt::format("{} would make a derivation, {}", printed,
                                scene.layout().print(*output.path)),
                    "choose a name that does not end in .drv.drv");
    if (derivation->flag("__noChroot"))
      return deny("stay-in-sandbox",
                  fmt::format("{} asks to be built without the sandbox (__noChroot)", printed),
                  "remove the attribute");
    if (auto refusal = outputs_known(*derivation, printed)) return *refusal;
    if (derivation->kind() == DerivationKind::fixed_output &&
        scene.fixed_output() == FixedOutputPolicy::closed)
      return deny(
          "fixed-output-closed",
          fmt::format("{} is a fixed-output derivation whose output is not visible", printed),
          "make its output an input of the derivation that runs Nix, or set fixed-output, or "
          "airlockFixedOutput, to \"sealed\"");
  }
  return {Decision::allow, "build", {}, {}};
}

}  // namespace airlock::policy
