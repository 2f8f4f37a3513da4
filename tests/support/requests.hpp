#pragma once

#include <array>

#include "daemon/wire/messages.hpp"

namespace airlock::test {

template <class... Requests>
struct TypeList {
  static constexpr std::array numbers{Requests::number...};
};

/// Every request there is, as a type: for tests of all of them. What stands in the mediator's table
/// and not here is found by the fuzz target `request`, which begins by comparing the two.
using AllRequests =
    TypeList<wire::IsValidPath, wire::HasSubstitutes, wire::QueryPathHash, wire::QueryReferences,
             wire::QueryReferrers, wire::AddToStore, wire::AddTextToStore, wire::BuildPaths,
             wire::EnsurePath, wire::AddTempRoot, wire::AddIndirectRoot, wire::SyncWithGC,
             wire::FindRoots, wire::ExportPath, wire::QueryDeriver, wire::SetOptions,
             wire::CollectGarbage, wire::QuerySubstitutablePathInfo, wire::QueryDerivationOutputs,
             wire::QueryAllValidPaths, wire::QueryPathInfo, wire::ImportPaths,
             wire::QueryDerivationOutputNames, wire::QueryPathFromHashPart,
             wire::QuerySubstitutablePathInfos, wire::QueryValidPaths,
             wire::QuerySubstitutablePaths, wire::QueryValidDerivers, wire::OptimiseStore,
             wire::VerifyStore, wire::BuildDerivation, wire::AddSignatures, wire::NarFromPath,
             wire::AddToStoreNar, wire::QueryMissing, wire::QueryDerivationOutputMap,
             wire::RegisterDrvOutput, wire::QueryRealisation, wire::AddMultipleToStore,
             wire::AddBuildLog, wire::BuildPathsWithResults, wire::AddPermRoot>;

/// Calls action.operator()<R>() for the request R of this number; false when there is none.
template <class Action, class... Requests>
bool for_request(wire::Op number, const Action& action, TypeList<Requests...>) {
  const auto call = [&]<class R>() {
    if (R::number != number) return false;
    action.template operator()<R>();
    return true;
  };
  return (call.template operator()<Requests>() || ...);
}
template <class Action>
bool for_request(wire::Op number, const Action& action) {
  return for_request(number, action, AllRequests{});
}

}  // namespace airlock::test
