#pragma once

#include "daemon/mediator/call.hpp"
#include "daemon/wire/messages.hpp"

/// What is done for each operation once its rule let it pass. A handler sends the reply, or returns
/// what the client is told instead. Which operation has which stands in operations.cpp.
namespace airlock::handlers {

// answers.cpp: from the session alone.
Handled is_valid_path(const wire::IsValidPath& request, Call& call);
Handled has_substitutes(const wire::HasSubstitutes& request, Call& call);
Handled query_path_hash(const wire::QueryPathHash& request, Call& call);
Handled query_references(const wire::QueryReferences& request, Call& call);
Handled query_referrers(const wire::QueryReferrers& request, Call& call);
Handled query_deriver(const wire::QueryDeriver& request, Call& call);
Handled query_substitutable_path_info(const wire::QuerySubstitutablePathInfo& request, Call& call);
Handled query_substitutable_path_infos(const wire::QuerySubstitutablePathInfos& request,
                                       Call& call);
Handled query_substitutable_paths(const wire::QuerySubstitutablePaths& request, Call& call);
Handled query_derivation_outputs(const wire::QueryDerivationOutputs& request, Call& call);
Handled query_derivation_output_names(const wire::QueryDerivationOutputNames& request, Call& call);
Handled query_derivation_output_map(const wire::QueryDerivationOutputMap& request, Call& call);
Handled query_all_valid_paths(const wire::QueryAllValidPaths& request, Call& call);
Handled query_path_info(const wire::QueryPathInfo& request, Call& call);
Handled query_path_from_hash_part(const wire::QueryPathFromHashPart& request, Call& call);
Handled query_valid_paths(const wire::QueryValidPaths& request, Call& call);
Handled query_valid_derivers(const wire::QueryValidDerivers& request, Call& call);
Handled query_missing(const wire::QueryMissing& request, Call& call);
Handled query_realisation(const wire::QueryRealisation& request, Call& call);
Handled set_options(const wire::SetOptions& request, Call& call);
Handled export_path(const wire::ExportPath& request, Call& call);
Handled nar_from_path(const wire::NarFromPath& request, Call& call);
/// For what needs no doing: the reply is 1.
template <class Request>
Handled acknowledge(const Request&, Call& call) {
  call.reply().u64(1);
  return {};
}
/// For operations that are always refused by their rule.
template <class Request>
Handled unreachable(const Request&, Call&) {
  return tl::unexpected(Failure{"this operation is not for builds", {}});
}

// uploads.cpp
Handled add_to_store(const wire::AddToStore& request, Call& call);
Handled add_text_to_store(const wire::AddTextToStore& request, Call& call);
Handled add_to_store_nar(const wire::AddToStoreNar& request, Call& call);
Handled add_multiple_to_store(const wire::AddMultipleToStore& request, Call& call);

// building.cpp
Handled build_paths(const wire::BuildPaths& request, Call& call);
Handled build_paths_with_results(const wire::BuildPathsWithResults& request, Call& call);
Handled build_derivation(const wire::BuildDerivation& request, Call& call);

}  // namespace airlock::handlers
