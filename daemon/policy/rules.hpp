#pragma once

#include "daemon/policy/scene.hpp"
#include "daemon/policy/settings.hpp"
#include "daemon/policy/verdict.hpp"
#include "daemon/wire/messages.hpp"

/// The rules. Each is a pure function of the request and the scene; which operation goes by which
/// rule stands in one table, daemon/mediator/operations.cpp.
namespace airlock::policy {

/// For questions whose answer is made from the session alone, hidden paths counting as absent.
template <class Request>
Verdict session_answers(const Request&, const Scene&) {
  return {Decision::answer, "session-answers", {}, {}};
}

[[nodiscard]] Verdict hidden(const StoreLayout& layout, const StorePath& path);

/// For operations on a path that must exist: only visible paths do.
template <class Request>
Verdict path_visible(const Request& request, const Scene& scene) {
  if (!scene.visible(request.path)) return hidden(scene.layout(), request.path);
  return {Decision::answer, "path-visible", {}, {}};
}

[[nodiscard]] Verdict never_for_sandboxes();

/// For what no build may ever ask, whatever its arguments.
template <class Request>
Verdict never(const Request&, const Scene&) {
  return never_for_sandboxes();
}

/// Adding: content-addressed, under a name that can be one, a derivation as text only, never a
/// repair, references visible.
[[nodiscard]] Verdict add(const wire::AddToStore& request, const Scene& scene);
[[nodiscard]] Verdict add_text(const wire::AddTextToStore& request, const Scene& scene);
[[nodiscard]] Verdict add_multiple(const wire::AddMultipleToStore& request, const Scene& scene);
[[nodiscard]] Verdict add_nar(const wire::AddToStoreNar& request, const Scene& scene);
/// For an upload that turns out to be what the session's own derivation makes.
[[nodiscard]] Verdict own_output(const std::string& path);
/// A derivation names its inputs in its text: those must be visible and be among its references.
[[nodiscard]] Verdict add_derivation(const Derivation& derivation,
                                     const std::set<StorePath>& references, const Scene& scene);

/// An import names no content addresses, so nothing says that what it holds is right.
[[nodiscard]] Verdict import_paths(const wire::ImportPaths& request, const Scene& scene);

/// Settings: answered whatever they are; the verdict names those that are dropped and matter.
[[nodiscard]] Verdict set_options(const wire::SetOptions& request, const Scene& scene);

/// Building: mode normal, of visible derivations, none of which steps out of the sandbox.
[[nodiscard]] Verdict build(const wire::Targets& targets, wire::BuildMode mode, const Scene& scene);
/// A derivation sent whole: only as its visible .drv file has it, with its inputs resolved.
[[nodiscard]] Verdict build_derivation(const wire::BuildDerivation& request, const Scene& scene);
template <class Request>
Verdict build_targets(const Request& request, const Scene& scene) {
  return build(request.targets, request.mode, scene);
}

}  // namespace airlock::policy
