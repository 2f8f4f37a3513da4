#include "daemon/policy/rules.hpp"

#include <catch2/catch.hpp>

#include "daemon/core/content_address.hpp"
#include "daemon/policy/build_plan.hpp"
#include "tests/unit/policy/fake_scene.hpp"

using namespace airlock;
using namespace airlock::policy;

namespace {

void denies(const Verdict& verdict, std::string_view rule) {
  CHECK(verdict.decision == Decision::deny);
  CHECK(verdict.rule == rule);
  CHECK_FALSE(verdict.reason.empty());
  CHECK_FALSE(verdict.remedy.empty());
  CHECK(verdict.message().find(rule) != std::string::npos);
}
void passes(const Verdict& verdict) {
  CHECK_FALSE(verdict.refused());
}

wire::Targets to_build(const StorePath& path) {
  return {{path, true, {}}};
}

}  // namespace

TEST_CASE("only visible paths exist") {
  FakeScene scene;
  const auto visible = scene.add("visible");
  const auto hidden = fake_path("hidden");
  passes(path_visible(wire::NarFromPath{visible}, scene));
  denies(path_visible(wire::NarFromPath{hidden}, scene), "path-visible");
  // A question about a hidden path is answered as one about a path that nobody has.
  passes(session_answers(wire::IsValidPath{hidden}, scene));
}

TEST_CASE("what is for no build is refused whatever its arguments") {
  const FakeScene scene;
  denies(never(wire::CollectGarbage{}, scene), "never");
  denies(never(wire::FindRoots{}, scene), "never");
}

TEST_CASE("what is added may refer only to what is visible") {
  FakeScene scene;
  const auto visible = scene.add("visible");
  const auto hidden = fake_path("hidden");
  passes(add({"name", "text:sha256", {visible}, false}, scene));
  denies(add({"name", "text:sha256", {visible, hidden}, false}, scene), "references-visible");
  denies(add({"name", "text:sha256", {}, true}, scene), "no-repair");
  denies(add({"name", "nonsense", {}, false}, scene), "add-method");
  passes(add({"name", "fixed:r:sha256", {visible}, false}, scene));
  passes(add({"name", "fixed:sha1", {}, false}, scene));
  for (const auto* method : {"fixed:sha1", "fixed:sha256", "fixed:r:sha1"})
    denies(add({"name", method, {visible}, false}, scene), "add-method");
  denies(add({"name", "fixed:r:blake3", {}, false}, scene), "add-method");
  denies(add({"a/b", "text:sha256", {}, false}, scene), "add-name");
  denies(add({"", "text:sha256", {}, false}, scene), "add-name");
  denies(add({".-x", "text:sha256", {}, false}, scene), "add-name");
  passes(add_text({"name", "text", {visible}}, scene));
  denies(add_text({"name", "text", {hidden}}, scene), "references-visible");
}

TEST_CASE("an archive is taken under the path that its content address gives, and no other") {
  FakeScene scene;
  const auto visible = scene.add("visible");
  ContentAddress address{IngestionMethod::recursive, sha256("x")};
  const auto path = path_of(scene.store, "name", address, {{visible}, false}).value();
  wire::AddToStoreNar request{path, {}, false, true};
  request.info.references = {visible};
  request.info.content_address = address.print();
  passes(add_nar(request, scene));

  auto other = request;
  other.path = fake_path("name");
  denies(add_nar(other, scene), "add-content-addressed");
  other = request;
  other.info.content_address.clear();
  other.info.signatures = {"trusted-1:abc"};
  denies(add_nar(other, scene), "add-content-addressed");
  other = request;
  other.info.references.insert(fake_path("hidden"));
  denies(add_nar(other, scene), "references-visible");
  other = request;
  other.path = path_of(scene.store, "name", address, {{visible}, true}).value();
  other.info.references.insert(other.path);
  denies(add_nar(other, scene), "add-content-addressed");
  other = request;
  other.repair = true;
  denies(add_nar(other, scene), "no-repair");

  const auto addressed = [&](IngestionMethod method, HashAlgorithm algorithm) {
    const ContentAddress by{method, {algorithm, std::vector<std::uint8_t>(size_of(algorithm))}};
    wire::AddToStoreNar made{fake_path("name"), {}, false, true};
    if (auto its = path_of(scene.store, "name", by, {})) made.path = *its;
    made.info.content_address = by.print();
    return add_nar(made, scene);
  };
  for (const auto algorithm : {HashAlgorithm::md5, HashAlgorithm::sha1, HashAlgorithm::sha512}) {
    passes(addressed(IngestionMethod::recursive, algorithm));
    passes(addressed(IngestionMethod::flat, algorithm));
  }
  denies(addressed(IngestionMethod::git, HashAlgorithm::sha1), "add-content-addressed");
  denies(addressed(IngestionMethod::recursive, HashAlgorithm::blake3), "add-method");
}

TEST_CASE("a derivation's own text says what its inputs are, whatever its references claim") {
  FakeScene scene;
  const auto visible = scene.add("visible");
  const auto hidden = fake_path("hidden");
  Derivation derivation;
  derivation.outputs["out"] = {fake_path("out"), "", ""};
  derivation.input_sources = {visible};
  passes(add_derivation(derivation, {visible}, scene));
  denies(add_derivation(derivation, {}, scene), "derivation-inputs");
  derivation.input_sources = {hidden};
  denies(add_derivation(derivation, {visible}, scene), "derivation-inputs");
  denies(add_derivation(derivation, {hidden}, scene), "derivation-inputs");
  derivation.input_sources = {};
  derivation.input_derivations[hidden] = {"out"};
  denies(add_derivation(derivation, {hidden}, scene), "derivation-inputs");
}

TEST_CASE("a derivation whose outputs are not known before the build is not even added") {
  FakeScene scene;
  Derivation derivation;
  derivation.outputs["out"] = {std::nullopt, "r:sha256", ""};
  denies(add_derivation(derivation, {}, scene), "outputs-known");
  derivation.outputs["out"] = {std::nullopt, "r:sha256", "impure"};
  denies(add_derivation(derivation, {}, scene), "stay-in-sandbox");
}

TEST_CASE("building: visible derivations, normally, that stay in their sandbox") {
  FakeScene scene;
  const auto plain = scene.add_derivation("plain");
  passes(build(to_build(plain), wire::BuildMode::normal, scene));
  denies(build(to_build(plain), wire::BuildMode::check, scene), "build-mode");
  denies(build(to_build(plain), wire::BuildMode::repair, scene), "build-mode");
  denies(build(to_build(fake_path("hidden.drv")), wire::BuildMode::normal, scene), "path-visible");
  denies(build({{fake_path("hidden"), false, {}}}, wire::BuildMode::normal, scene), "path-visible");

  Derivation escaping;
  escaping.environment.emplace("__noChroot", "1");
  const auto escape = scene.add_derivation("escape", escaping);
  denies(build(to_build(escape), wire::BuildMode::normal, scene), "stay-in-sandbox");

  // Through an input as well.
  Derivation through;
  through.input_derivations[escape] = {"out"};
  denies(build(to_build(scene.add_derivation("through", through)), wire::BuildMode::normal, scene),
         "stay-in-sandbox");

  Derivation floating;
  floating.outputs["out"] = {std::nullopt, "r:sha256", ""};
  denies(
      build(to_build(scene.add_derivation("floating", floating)), wire::BuildMode::normal, scene),
      "outputs-known");
}

TEST_CASE("what is built is decided by its text, also when nobody decided it before") {
  FakeScene scene;
  Derivation made;
  made.input_sources = {fake_path("hidden")};
  denies(build(to_build(scene.add_derivation("made", made)), wire::BuildMode::normal, scene),
         "derivation-inputs");
  Derivation maker;
  maker.outputs["out"] = {fake_path("product.drv"), "", ""};
  denies(build(to_build(scene.add_derivation("maker", maker)), wire::BuildMode::normal, scene),
         "outputs-no-derivations");
  const auto plain = scene.add_derivation("plain");
  denies(build({{plain, true, {"nonesuch"}}}, wire::BuildMode::normal, scene), "output-exists");
}

TEST_CASE("a build that asks for itself is told so") {
  FakeScene scene;
  const auto self = scene.add_derivation("self");
  scene.own_outputs = {fake_path("self")};
  denies(build(to_build(self), wire::BuildMode::normal, scene), "no-cycle");
}

TEST_CASE("fixed-output derivations: built unless closed, and nothing to refuse once visible") {
  FakeScene scene;
  Derivation fixed;
  fixed.outputs["out"] = {fake_path("fetched"), "sha256", "00"};
  const auto path = scene.add_derivation("fetched", fixed);
  passes(build(to_build(path), wire::BuildMode::normal, scene));
  scene.policy = FixedOutputPolicy::closed;
  denies(build(to_build(path), wire::BuildMode::normal, scene), "fixed-output-closed");
  scene.add("fetched");
  passes(build(to_build(path), wire::BuildMode::normal, scene));
}

TEST_CASE("a plan holds what is not visible yet, through the inputs") {
  FakeScene scene;
  const auto leaf = scene.add_derivation("leaf");
  Derivation middle;
  middle.input_derivations[leaf] = {"out"};
  const auto middle_path = scene.add_derivation("middle", middle);
  Derivation top;
  top.input_derivations[middle_path] = {"out"};
  const auto top_path = scene.add_derivation("top", top);
  CHECK(plan_build(to_build(top_path), scene).derivations == std::set{leaf, middle_path, top_path});
  CHECK(plan_build(to_build(top_path), scene).outputs ==
        std::map<StorePath, StorePath>{{fake_path("leaf"), leaf},
                                       {fake_path("middle"), middle_path},
                                       {fake_path("top"), top_path}});
  scene.add("middle");
  CHECK(plan_build(to_build(top_path), scene).derivations == std::set{top_path});
  scene.add("top");
  CHECK(plan_build(to_build(top_path), scene).derivations.empty());
  CHECK(plan_build({{fake_path("none"), false, {}}}, scene).missing == std::set{fake_path("none")});
}
