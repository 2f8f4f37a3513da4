// The table: each operation's number, name, first version, arguments, rule and handler.
#include "daemon/mediator/operations.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "daemon/mediator/handlers.hpp"
#include "daemon/policy/rules.hpp"

namespace airlock {

namespace {

using wire::Op;

constexpr std::size_t longest_subject = 4096;

// What an operation is about, by the shape of its arguments.
template <class R>
std::string describe(const R& request, const StoreLayout& layout) {
  if constexpr (requires { request.path; }) {
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
  } else {
    return {};
  }
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
  policy::Verdict decide(const policy::Scene& scene) const override {
    return rule(arguments_, scene);
  }
  Handled handle(Call& call) const override { return handler(arguments_, call); }

 private:
  R arguments_;
};

template <class R, auto rule, auto handler>
constexpr Operation row(Op op, std::string_view name, wire::Version since = wire::oldest,
                        bool has_body = false) {
  return {op, name, since, has_body, &RequestOf<R, rule, handler>::decode};
}

// Rows whose rule or handler is the same for every type of request.
template <class R, auto handler>
constexpr Operation question(Op op, std::string_view name) {
  return row<R, &policy::session_answers<R>, handler>(op, name);
}
template <class R, auto handler>
constexpr Operation on_visible(Op op, std::string_view name) {
  return row<R, &policy::path_visible<R>, handler>(op, name);
}
template <class R>
constexpr Operation never(Op op, std::string_view name, wire::Version since = wire::oldest,
                          bool has_body = false) {
  return row<R, &policy::never<R>, &handlers::unreachable<R>>(op, name, since, has_body);
}

constexpr bool body = true;
constexpr wire::Version v34{1, 34};
constexpr wire::Version v36{1, 36};

constexpr std::array table{
    question<wire::IsValidPath, &handlers::is_valid_path>(Op::is_valid_path, "IsValidPath"),
    question<wire::HasSubstitutes, &handlers::has_substitutes>(Op::has_substitutes,
                                                               "HasSubstitutes"),
    on_visible<wire::QueryPathHash, &handlers::query_path_hash>(Op::query_path_hash,
                                                                "QueryPathHash"),
    on_visible<wire::QueryReferences, &handlers::query_references>(Op::query_references,
                                                                   "QueryReferences"),
    on_visible<wire::QueryReferrers, &handlers::query_referrers>(Op::query_referrers,
                                                                 "QueryReferrers"),
    row<wire::AddToStore, &policy::add, &handlers::add_to_store>(Op::add_to_store, "AddToStore",
                                                                 v34, body),
    row<wire::AddTextToStore, &policy::add_text, &handlers::add_text_to_store>(
        Op::add_text_to_store, "AddTextToStore"),
    row<wire::BuildPaths, &policy::build_targets<wire::BuildPaths>, &handlers::build_paths>(
        Op::build_paths, "BuildPaths"),
    on_visible<wire::EnsurePath, &handlers::acknowledge<wire::EnsurePath>>(Op::ensure_path,
                                                                           "EnsurePath"),
    question<wire::AddTempRoot, &handlers::acknowledge<wire::AddTempRoot>>(Op::add_temp_root,
                                                                           "AddTempRoot"),
    question<wire::AddIndirectRoot, &handlers::acknowledge<wire::AddIndirectRoot>>(
        Op::add_indirect_root, "AddIndirectRoot"),
    question<wire::SyncWithGC, &handlers::acknowledge<wire::SyncWithGC>>(Op::sync_with_gc,
                                                                         "SyncWithGC"),
    never<wire::FindRoots>(Op::find_roots, "FindRoots"),
    on_visible<wire::QueryDeriver, &handlers::query_deriver>(Op::query_deriver, "QueryDeriver"),
    question<wire::SetOptions, &handlers::set_options>(Op::set_options, "SetOptions"),
    never<wire::CollectGarbage>(Op::collect_garbage, "CollectGarbage"),
    question<wire::QuerySubstitutablePathInfo, &handlers::query_substitutable_path_info>(
        Op::query_substitutable_path_info, "QuerySubstitutablePathInfo"),
    on_visible<wire::QueryDerivationOutputs, &handlers::query_derivation_outputs>(
        Op::query_derivation_outputs, "QueryDerivationOutputs"),
    question<wire::QueryAllValidPaths, &handlers::query_all_valid_paths>(Op::query_all_valid_paths,
                                                                         "QueryAllValidPaths"),
    question<wire::QueryPathInfo, &handlers::query_path_info>(Op::query_path_info, "QueryPathInfo"),
    on_visible<wire::QueryDerivationOutputNames, &handlers::query_derivation_output_names>(
        Op::query_derivation_output_names, "QueryDerivationOutputNames"),
    question<wire::QueryPathFromHashPart, &handlers::query_path_from_hash_part>(
        Op::query_path_from_hash_part, "QueryPathFromHashPart"),
    question<wire::QuerySubstitutablePathInfos, &handlers::query_substitutable_path_infos>(
        Op::query_substitutable_path_infos, "QuerySubstitutablePathInfos"),
    question<wire::QueryValidPaths, &handlers::query_valid_paths>(Op::query_valid_paths,
                                                                  "QueryValidPaths"),
    question<wire::QuerySubstitutablePaths, &handlers::query_substitutable_paths>(
        Op::query_substitutable_paths, "QuerySubstitutablePaths"),
    question<wire::QueryValidDerivers, &handlers::query_valid_derivers>(Op::query_valid_derivers,
                                                                        "QueryValidDerivers"),
    never<wire::OptimiseStore>(Op::optimise_store, "OptimiseStore"),
    never<wire::VerifyStore>(Op::verify_store, "VerifyStore"),
    never<wire::BuildDerivation>(Op::build_derivation, "BuildDerivation"),
    never<wire::AddSignatures>(Op::add_signatures, "AddSignatures"),
    on_visible<wire::NarFromPath, &handlers::nar_from_path>(Op::nar_from_path, "NarFromPath"),
    row<wire::AddToStoreNar, &policy::add_nar, &handlers::add_to_store_nar>(
        Op::add_to_store_nar, "AddToStoreNar", v34, body),
    question<wire::QueryMissing, &handlers::query_missing>(Op::query_missing, "QueryMissing"),
    on_visible<wire::QueryDerivationOutputMap, &handlers::query_derivation_output_map>(
        Op::query_derivation_output_map, "QueryDerivationOutputMap"),
    never<wire::RegisterDrvOutput>(Op::register_drv_output, "RegisterDrvOutput"),
    question<wire::QueryRealisation, &handlers::query_realisation>(Op::query_realisation,
                                                                   "QueryRealisation"),
    row<wire::AddMultipleToStore, &policy::add_multiple, &handlers::add_multiple_to_store>(
        Op::add_multiple_to_store, "AddMultipleToStore", v34, body),
    never<wire::AddBuildLog>(Op::add_build_log, "AddBuildLog", v34, body),
    row<wire::BuildPathsWithResults, &policy::build_targets<wire::BuildPathsWithResults>,
        &handlers::build_paths_with_results>(Op::build_paths_with_results, "BuildPathsWithResults"),
    never<wire::AddPermRoot>(Op::add_perm_root, "AddPermRoot", v36),
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
