#include "daemon/mediator/upstream_waits.hpp"

#include <catch2/catch.hpp>
#include <functional>

#include "daemon/mediator/build_log.hpp"
#include "daemon/mediator/upstream.hpp"
#include "tests/unit/policy/fake_scene.hpp"

using namespace airlock;

namespace {

waits::Clock::time_point at(int seconds) {
  return waits::Clock::time_point(std::chrono::seconds(seconds));
}

wire::StartActivity start(std::uint64_t id, const std::string& text, std::uint64_t type = 111) {
  return {id, 1, type, text, {}, 0};
}

}  // namespace

TEST_CASE("what upstream waits for is told from its words, in every version's") {
  const auto user = GENERATE(
      as<std::string>{}, "waiting for UID to build '\x1b[33;1m/nix/store/x-lock.drv\x1b[0m'",
      "waiting for a free build user ID for '\x1b[35;1m/nix/store/x-a machine.drv\x1b[0m'");
  UpstreamWaits waits;
  CHECK(waits.note(start(1, user), at(4)));
  CHECK(waits.now().user == at(4));
  CHECK_FALSE(waits.now().lock);
  CHECK_FALSE(waits.now().machine);
  CHECK(waits.note(wire::StopActivity{1}, at(5)));
  CHECK_FALSE(waits.now().user);
}

TEST_CASE("a store path's name cannot pass for what upstream waits for") {
  UpstreamWaits waits;
  CHECK(waits.note(start(1, "waiting for lock on \x1b[33;1m'/nix/store/x-UID'\x1b[0m"), at(1)));
  CHECK(waits.now().lock == at(1));
  CHECK_FALSE(waits.now().user);
  CHECK(waits.note(start(2, "waiting for a machine to build '/nix/store/x-build user'"), at(2)));
  CHECK(waits.now().machine == at(2));
  CHECK_FALSE(waits.now().user);
  // Newer versions tell by this type also what a derivation came to be.
  CHECK_FALSE(waits.note(start(3, "resolved derivation: '/nix/store/x-UID.drv'"), at(3)));
  CHECK_FALSE(waits.note(start(4, "waiting for UID to build", 100), at(4)));
}

TEST_CASE("waits begin and end one by one, and a build of one's own counts as going on") {
  UpstreamWaits waits;
  CHECK(waits.now().idle == waits::Clock::time_point::min());
  CHECK(waits.note(start(1, "waiting for UID to build"), at(1)));
  CHECK(waits.note(start(2, "waiting for UID to build"), at(2)));
  CHECK(waits.note(start(3, "building", 105), at(3)));
  CHECK_FALSE(waits.now().idle);
  CHECK(waits.note(wire::StopActivity{1}, at(4)));
  CHECK(waits.now().user == at(2));
  CHECK(waits.note(wire::StopActivity{3}, at(5)));
  CHECK(waits.now().idle == at(5));
  CHECK_FALSE(waits.note(wire::StopActivity{3}, at(6)));
  CHECK_FALSE(waits.note(wire::LogLine{"waiting for UID to build"}, at(6)));
}

TEST_CASE("what begins and never ends is not remembered without end") {
  UpstreamWaits waits;
  const StoreLayout layout;
  StringSink sink;
  wire::Writer to(sink, layout);
  BuildLog log(layout, {}, to, wire::newest);
  const auto drv = layout.print(policy::fake_path("x.drv"));
  const auto begin = [](const std::function<void(std::uint64_t id)>& one) {
    for (std::uint64_t id = 0; id < 100'000; ++id) one(id);
  };
  CHECK_THROWS_AS(begin([&](auto id) { waits.note(start(id, "waiting for UID to build"), at(1)); }),
                  UpstreamLost);
  CHECK_THROWS_AS(begin([&](auto id) {
                    log.relay(wire::StartActivity{id, 1, wire::activity_build, "", {drv}, 0});
                  }),
                  UpstreamLost);
  // What ends is forgotten, and what is of no interest never remembered.
  UpstreamWaits others;
  CHECK_NOTHROW(begin([&](auto id) {
    others.note(start(id, "waiting for UID to build"), at(1));
    others.note(wire::StopActivity{id}, at(2));
    others.note(start(id, "copying", 100), at(3));
  }));
}
