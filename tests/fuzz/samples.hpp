#pragma once

#include <type_traits>

#include "daemon/core/content_address.hpp"
#include "tests/support/requests.hpp"
#include "tests/unit/core/nar_tree.hpp"
#include "tests/unit/policy/fake_scene.hpp"

/// One message of each type, about the paths that the fakes know. A type of a shape that is not
/// here does not compile: add its sample.
namespace airlock::fuzz {

inline StorePath visible() {
  return policy::fake_path("visible");
}
inline StorePath inner() {
  return policy::fake_path("inner.drv");
}
inline std::string archive() {
  return test::nar({test::Tree::Folder{{"a", {test::Tree::File{"hello", true}}},
                                       {"b", {test::Tree::Symlink{"a"}}}}});
}
inline std::string derivation_text() {
  return R"(Derive([("out","/nix/store/)" + policy::fake_path("x").base() +
         R"(","","")],[],["/nix/store/)" + visible().base() +
         R"("],"x86_64-linux","/bin/sh",["-c"],[("out","/nix/store/)" +
         policy::fake_path("x").base() + R"(")]))";
}
/// Of archive(), so that it can be added.
inline StorePath archive_path() {
  return path_of({}, "tree", {IngestionMethod::recursive, sha256(archive())}, {}).value();
}
inline wire::PathInfo archive_info() {
  const auto hash = sha256(archive());
  return {std::nullopt,
          hash.base16(),
          {},
          1700000000,
          archive().size(),
          false,
          {},
          ContentAddress{IngestionMethod::recursive, hash}.print()};
}
inline wire::Targets sample_targets() {
  return {{inner(), true, {"out"}}};
}
inline wire::BuildResult sample_result() {
  return {wire::BuildStatus::built,
          "",
          1,
          false,
          1700000000,
          1700000001,
          7,
          std::nullopt,
          {{"sha256:00!out", R"({"id":"sha256:00!out","outPath":")" + visible().base() + "\"}"}}};
}

template <class T>
using Of = std::type_identity<T>;

// Requests.
template <wire::Op op, class R>
auto sample(Of<wire::Nullary<op, R>>) {
  return wire::Nullary<op, R>{};
}
template <wire::Op op, class R>
auto sample(Of<wire::OnPath<op, R>>) {
  const bool on_derivation = op == wire::Op::query_derivation_outputs ||
                             op == wire::Op::query_derivation_output_names ||
                             op == wire::Op::query_derivation_output_map;
  return wire::OnPath<op, R>{on_derivation ? inner() : visible()};
}
template <wire::Op op, class R>
auto sample(Of<wire::OnPaths<op, R>>) {
  return wire::OnPaths<op, R>{{visible(), inner()}};
}
template <wire::Op op, class R>
auto sample(Of<wire::OnText<op, R>>) {
  return wire::OnText<op, R>{std::string(visible().hash_part())};
}
template <wire::Op op, class R>
auto sample(Of<wire::OnTargets<op, R>>) {
  return wire::OnTargets<op, R>{sample_targets()};
}
template <wire::Op op, class R>
auto sample(Of<wire::Build<op, R>>) {
  return wire::Build<op, R>{sample_targets()};
}
inline auto sample(Of<wire::AddToStore>) {
  return wire::AddToStore{"tree", "fixed:r:sha256", {}, false};
}
inline auto sample(Of<wire::AddTextToStore>) {
  return wire::AddTextToStore{"x.drv", derivation_text(), {visible()}};
}
inline auto sample(Of<wire::SetOptions>) {
  wire::SetOptions options;
  options.overrides = {{"cores", "2"}, {"sandbox", "false"}};
  return options;
}
inline auto sample(Of<wire::ExportPath>) {
  return wire::ExportPath{visible()};
}
inline auto sample(Of<wire::CollectGarbage>) {
  return wire::CollectGarbage{1, {visible()}, false, 10};
}
inline auto sample(Of<wire::QuerySubstitutablePathInfos>) {
  return wire::QuerySubstitutablePathInfos{{{visible(), archive_info().content_address}}};
}
inline auto sample(Of<wire::QueryValidPaths>) {
  return wire::QueryValidPaths{{visible(), inner()}, true};
}
inline auto sample(Of<wire::VerifyStore>) {
  return wire::VerifyStore{true, false};
}
inline auto sample(Of<wire::BuildDerivation>) {
  const auto out = StoreLayout().print(policy::fake_path("inner"));
  return wire::BuildDerivation{inner(),   {{"out", out, "", ""}}, {visible()},   "x86_64-linux",
                               "/bin/sh", {"-c", "true"},         {{"out", out}}};
}
inline auto sample(Of<wire::AddSignatures>) {
  return wire::AddSignatures{visible(), {"key:sig"}};
}
inline auto sample(Of<wire::AddToStoreNar>) {
  return wire::AddToStoreNar{archive_path(), archive_info(), false, false};
}
inline auto sample(Of<wire::AddMultipleToStore>) {
  return wire::AddMultipleToStore{};
}
inline auto sample(Of<wire::RegisterDrvOutput>) {
  return wire::RegisterDrvOutput{sample_result().built_outputs[0].second,
                                 StoreLayout().print(visible())};
}
inline auto sample(Of<wire::AddBuildLog>) {
  return wire::AddBuildLog{inner().base()};
}
inline auto sample(Of<wire::AddPermRoot>) {
  return wire::AddPermRoot{visible(), "/home/user/result"};
}

// Replies.
inline auto sample(Of<wire::Nothing>) {
  return wire::Nothing{};
}
inline auto sample(Of<wire::Done>) {
  return wire::Done{};
}
inline auto sample(Of<wire::Boolean>) {
  return wire::Boolean{true};
}
inline auto sample(Of<wire::Text>) {
  return wire::Text{"sha256:00"};
}
inline auto sample(Of<wire::Texts>) {
  return wire::Texts{{"dev", "out"}};
}
inline auto sample(Of<wire::PathReply>) {
  return wire::PathReply{visible()};
}
inline auto sample(Of<wire::MaybePath>) {
  return wire::MaybePath{visible()};
}
inline auto sample(Of<wire::Paths>) {
  return wire::Paths{{visible(), inner()}};
}
inline auto sample(Of<wire::Roots>) {
  return wire::Roots{{{"/home/user/result", visible()}}};
}
inline auto sample(Of<wire::Collected>) {
  return wire::Collected{{StoreLayout().print(visible())}, 9};
}
inline auto sample(Of<wire::MaybeSubstitutable>) {
  return wire::MaybeSubstitutable{wire::Substitutable{inner(), {visible()}, 1, 2}};
}
inline auto sample(Of<wire::Substitutables>) {
  return wire::Substitutables{{{visible(), {inner(), {visible()}, 1, 2}}}};
}
inline auto sample(Of<wire::MaybePathInfo>) {
  return wire::MaybePathInfo{archive_info()};
}
inline auto sample(Of<wire::AddedPath>) {
  return wire::AddedPath{archive_path(), archive_info()};
}
inline auto sample(Of<wire::Missing>) {
  return wire::Missing{{inner()}, {visible()}, {}, 1, 2};
}
inline auto sample(Of<wire::OutputMap>) {
  return wire::OutputMap{{{"dev", std::nullopt}, {"out", visible()}}};
}
inline auto sample(Of<wire::OneBuildResult>) {
  return wire::OneBuildResult{sample_result()};
}
inline auto sample(Of<wire::BuildResults>) {
  return wire::BuildResults{{{sample_targets()[0], sample_result()}}};
}

}  // namespace airlock::fuzz
