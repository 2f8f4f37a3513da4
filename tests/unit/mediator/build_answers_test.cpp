// What a client is told of the outcome of its builds.
#include "daemon/mediator/build_answers.hpp"

#include <malloc.h>

#include <catch2/catch.hpp>

#include "tests/unit/policy/fake_scene.hpp"

using namespace airlock;

namespace {

std::size_t memory_in_use() {
  const auto info = ::mallinfo2();
  return info.uordblks + info.hblkhd;
}

}  // namespace

TEST_CASE("long reasons are held once, however many derivations fail because of them") {
  constexpr std::size_t failures = 5;
  constexpr std::size_t dependents = 100;
  constexpr std::size_t length = 1 << 18;
  policy::FakeScene scene;
  BuildOutcome outcome;
  Derivation needs_them;
  for (std::size_t i = 0; i < failures; ++i) {
    const auto path = scene.add_derivation("failing" + std::to_string(i));
    needs_them.input_derivations[path] = {"out"};
    outcome.results.push_back(
        {{path, true, {}}, {wire::BuildStatus::output_rejected, std::string(length, 'r')}});
  }
  wire::Targets targets;
  for (std::size_t i = 0; i < dependents; ++i) {
    auto derivation = needs_them;
    const auto name = "dependent" + std::to_string(i);
    derivation.outputs["out"] = {policy::fake_path(name), "", ""};
    targets.push_back({scene.add_derivation(name, derivation), true, {}});
    outcome.results.push_back({targets.back(), {wire::BuildStatus::dependency_failed, "failed"}});
  }
  const auto before = memory_in_use();
  const BuildAnswers answers(targets, std::move(outcome), scene);
  CHECK(memory_in_use() < before + 10 * failures * length);
  for (const auto& target : targets) {
    const auto result = answers.of(target);
    CHECK(result.status == wire::BuildStatus::dependency_failed);
    CHECK(result.error.size() == failures * length + failures - 1);
  }
}
