// The table: each operation's number, name, first version, arguments, rule and handler.
#include "daemon/mediator/operations.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <type_traits>

#include "daemon/mediator/handlers.hpp"
#include "daemon/mediator/observed.hpp"
#include "daemon/policy/rules.hpp"

namespace airlock {

namespace {

constexpr std::size_t longest_subject = 512;

// What an operation is about, by the shape of its arguments.
template <class R>
std::string describe(const R& request, const StoreLayout& layout) {
  if constexpr (requires { request.path.base(); }) {
    return layout.print(request.path);
  } else if constexpr (requires { request.targets; }) {
    std::string text;
    for (const auto& target : request.targets) {
      if (text.size() > longest_subject) break;
      text += (text.empty() ? "" : " ") + wire::print_target(layout, target);
    }
    return text;
  } else if constexpr (requires { request.paths.begin()->base(); }) {
    std::string text;
    for (const auto& path : request.paths) {
      if (text.size() > longest_subject) break;
      text += (text.empty() ? "" : " ") + layout.print(path);
    }
    return text;
  } else if constexpr (requires { request.name; }) {
    return request.name;
  } else if constexpr (requires { request.text; }) {
    return request.text;
  } else if constexpr (requires { request.realisation; }) {
    return request.realisation;
  } else {
    return {};
  }
}

/// What clients of one version or another ask before they would go to the network themselves.
template <class R>
std::set<StorePath> asked_for(const R& request) {
  if constexpr (std::is_same_v<R, wire::IsValidPath> || std::is_same_v<R, wire::EnsurePath> ||
                std::is_same_v<R, wire::AddTempRoot> || std::is_same_v<R, wire::QueryPathInfo>)
    return {request.path};
  else if constexpr (std::is_same_v<R, wire::QueryValidPaths>)
    return request.paths;
  else
    return {};
}

std::string printable(std::string text) {
  if (text.size() > longest_subject) text.resize(longest_subject);
  std::replace_if(
      text.begin(), text.end(), [](unsigned char c) { return c < 0x20 || c >= 0x7f; }, '?');
  return text;
}

/// A request of type R, decided by `rule` and done by `handler`.
template <class R, auto rule, auto handler>
class RequestOf final : public Request {
 public:
  explicit RequestOf(R arguments) : arguments_(std::move(arguments)) {}
  static std::unique_ptr<Request> decode(wire::Reader& from, wire::Version version) {
    return std::make_unique<RequestOf>(R::decode(from, version));
  }
  std::string subject(const StoreLayout& layout) const override {
    return printable(describe(arguments_, layout));
  }
  std::set<StorePath> asks_for() const override { return asked_for(arguments_); }
  policy::Verdict decide(const policy::Scene& scene) const override {
    return rule(arguments_, scene);
  }
  Handled handle(Call& call) const override { return handler(arguments_, call); }
  Handled forward(Call& call, Passage& passage, Observation& seen) const override {
    const auto reply = passage.forward(
        arguments_, call.body, watch(arguments_, call.session, call.services.config.limits, seen));
    if (!reply) return tl::unexpected(Failure{passage.refusal(), {}});
    note_visible(arguments_, *reply, call.session);
    if constexpr (std::is_same_v<R, wire::AddToStore> || std::is_same_v<R, wire::AddTextToStore>)
      seen.subject = call.session.layout().print(reply->path);
    if (!seen.added.empty()) call.session.note(seen.added);
    return {};
  }

 private:
  R arguments_;
};

template <class R, auto rule, auto handler>
constexpr Operation row(std::string_view name, wire::Version since = wire::oldest) {
  return {R::number, name, since, &wire::body_of<R>, &RequestOf<R, rule, handler>::decode};
}

// Rows whose rule or handler is the same for every type of request.
template <class R, auto handler>
constexpr Operation question(std::string_view name, wire::Version since = wire::oldest) {
  return row<R, &policy::session_answers<R>, handler>(name, since);
}
template <class R, auto handler>
constexpr Operation on_visible(std::string_view name, wire::Version since = wire::oldest) {
  return row<R, &policy::path_visible<R>, handler>(name, since);
}
template <class R>
constexpr Operation never(std::string_view name, wire::Version since = wire::oldest) {
  return row<R, &policy::never<R>, &handlers::unreachable<R>>(name, since);
}

constexpr wire::Version v22{1, 22};
constexpr wire::Version v27{1, 27};
constexpr wire::Version v32{1, 32};
constexpr wire::Version v34{1, 34};
constexpr wire::Version v36{1, 36};

using namespace handlers;

constexpr std::array table{
    question<wire::IsValidPath, &is_valid_path>("IsValidPath"),
    question<wire::HasSubstitutes, &has_substitutes>("HasSubstitutes"),
    on_visible<wire::QueryPathHash, &query_path_hash>("QueryPathHash"),
    on_visible<wire::QueryReferences, &query_references>("QueryReferences"),
    on_visible<wire::QueryReferrers, &query_referrers>("QueryReferrers"),
    row<wire::AddToStore, &policy::add, &add_to_store>("AddToStore"),
    row<wire::AddTextToStore, &policy::add_text, &add_text_to_store>("AddTextToStore"),
    row<wire::BuildPaths, &policy::build_targets<wire::BuildPaths>, &build_paths>("BuildPaths"),
    on_visible<wire::EnsurePath, &acknowledge<wire::EnsurePath>>("EnsurePath"),
    question<wire::AddTempRoot, &acknowledge<wire::AddTempRoot>>("AddTempRoot"),
    question<wire::AddIndirectRoot, &acknowledge<wire::AddIndirectRoot>>("AddIndirectRoot"),
    question<wire::SyncWithGC, &acknowledge<wire::SyncWithGC>>("SyncWithGC"),
    never<wire::FindRoots>("FindRoots"),
    on_visible<wire::ExportPath, &export_path>("ExportPath"),
    on_visible<wire::QueryDeriver, &query_deriver>("QueryDeriver"),
    row<wire::SetOptions, &policy::set_options, &set_options>("SetOptions"),
    never<wire::CollectGarbage>("CollectGarbage"),
    question<wire::QuerySubstitutablePathInfo, &query_substitutable_path_info>(
        "QuerySubstitutablePathInfo"),
    on_visible<wire::QueryDerivationOutputs, &query_derivation_outputs>("QueryDerivationOutputs"),
    question<wire::QueryAllValidPaths, &query_all_valid_paths>("QueryAllValidPaths"),
    question<wire::QueryPathInfo, &query_path_info>("QueryPathInfo"),
    row<wire::ImportPaths, &policy::import_paths, &unreachable<wire::ImportPaths>>("ImportPaths"),
    on_visible<wire::QueryDerivationOutputNames, &query_derivation_output_names>(
        "QueryDerivationOutputNames"),
    question<wire::QueryPathFromHashPart, &query_path_from_hash_part>("QueryPathFromHashPart"),
    question<wire::QuerySubstitutablePathInfos, &query_substitutable_path_infos>(
        "QuerySubstitutablePathInfos"),
    question<wire::QueryValidPaths, &query_valid_paths>("QueryValidPaths"),
    question<wire::QuerySubstitutablePaths, &query_substitutable_paths>("QuerySubstitutablePaths"),
    question<wire::QueryValidDerivers, &query_valid_derivers>("QueryValidDerivers"),
    never<wire::OptimiseStore>("OptimiseStore"),
    never<wire::VerifyStore>("VerifyStore"),
    row<wire::BuildDerivation, &policy::build_derivation, &build_derivation>("BuildDerivation"),
    never<wire::AddSignatures>("AddSignatures"),
    on_visible<wire::NarFromPath, &nar_from_path>("NarFromPath"),
    row<wire::AddToStoreNar, &policy::add_nar, &add_to_store_nar>("AddToStoreNar"),
    question<wire::QueryMissing, &query_missing>("QueryMissing"),
    on_visible<wire::QueryDerivationOutputMap, &query_derivation_output_map>(
        "QueryDerivationOutputMap", v22),
    never<wire::RegisterDrvOutput>("RegisterDrvOutput", v27),
    question<wire::QueryRealisation, &query_realisation>("QueryRealisation", v27),
    row<wire::AddMultipleToStore, &policy::add_multiple, &add_multiple_to_store>(
        "AddMultipleToStore", v32),
    never<wire::AddBuildLog>("AddBuildLog", v32),
    row<wire::BuildPathsWithResults, &policy::build_targets<wire::BuildPathsWithResults>,
        &build_paths_with_results>("BuildPathsWithResults", v34),
    never<wire::AddPermRoot>("AddPermRoot", v36),
};

}  // namespace

std::span<const Operation> operations() {
  return table;
}

const Operation* find_operation(std::uint64_t number, wire::Version version) {
  const auto* found = std::find_if(table.begin(), table.end(), [&](const Operation& operation) {
    return static_cast<std::uint64_t>(operation.op) == number;
  });
  return found != table.end() && found->since <= version ? &*found : nullptr;
}

}  // namespace airlock
