// Requests to build: what is refused at once, what waits for a place, what is ended after a while.
#include "daemon/mediator/builds.hpp"

#include <catch2/catch.hpp>
#include <future>
#include <thread>

#include "daemon/mediator/build_watch.hpp"
#include "tests/unit/mediator/fakes.hpp"

using namespace airlock;
using policy::fake_path;
using std::chrono::seconds;

namespace {

policy::BuildPlan plan(const std::string& name) {
  policy::BuildPlan plan;
  plan.derivations.insert(fake_path(name + ".drv"));
  plan.outputs.emplace(fake_path(name), fake_path(name + ".drv"));
  return plan;
}

waits::Work work(const std::string& name) {
  return {fake_path(name + ".drv"), {fake_path(name)}};
}

struct Table {
  Limits limits;
  fakes::FakeLedger ledger;
  Builds builds{ledger, limits};
  Builds::Clock::time_point start = Builds::Clock::now();

  Builds::Admission begin(LedgerSession session, const std::string& name) {
    return builds.begin(session, plan(name), [] {});
  }
  std::unique_ptr<Builds::Ticket> ticket(LedgerSession session, const std::string& name) {
    auto admitted = begin(session, name);
    REQUIRE(admitted);
    return *std::move(admitted);
  }
  /// The sessions that look() ends after so many seconds.
  std::vector<Builds::Ending> endings(int after, std::optional<std::size_t> users = {}) {
    std::optional<BuildUsers> known;
    if (users) known = BuildUsers{"nixbld", *users};
    return builds.look(start + seconds(after), known).endings;
  }
  waits::Scarce waiting_for_user(int since = 0) {
    waits::Scarce scarce;
    scarce.user = start + seconds(since);
    return scarce;
  }
};

}  // namespace

TEST_CASE("a session that asks for what waits for it is told the chain") {
  Table table;
  table.builds.session_opened(work("one"), 1);
  table.builds.session_opened(work("two"), 2);
  const auto above = table.ticket(1, "two");
  const auto refused = table.begin(2, "one");
  REQUIRE_FALSE(refused);
  CHECK_THAT(refused.error().reason,
             Catch::Contains(fake_path("one.drv").base() + " waits for " +
                             fake_path("two.drv").base() + ", which asks for"));
  CHECK(refused.error().rule == "no-cycle");
  CHECK(table.begin(2, "three"));
}

TEST_CASE("when those above have their answer, or are closed, there is no cycle") {
  Table table;
  table.builds.session_opened(work("one"), 1);
  table.builds.session_opened(work("two"), 2);
  SECTION("answered") {
    (void)table.ticket(1, "two");
  }
  SECTION("closed") {
    table.builds.session_closed(1);
  }
  CHECK(table.begin(2, "one"));
}

TEST_CASE("what another request makes already is waited for") {
  Table table;
  table.builds.session_opened(work("one"), 1);
  table.builds.session_opened(work("two"), 2);
  const std::set<StorePath> wanted{fake_path("a.drv")};
  std::atomic<int> looks{0};
  const auto behind = [&](Builds::Ticket& ticket, seconds most) {
    return std::async(std::launch::async,
                      [&, most] { ticket.await_others(wanted, most, [&] { ++looks; }); });
  };
  auto first = table.ticket(1, "a");
  auto second = table.ticket(2, "a");
  SECTION("until it has its answer") {
    auto waiting = behind(*second, seconds(600));
    while (looks < 2) std::this_thread::yield();
    CHECK(waiting.wait_for(seconds(0)) == std::future_status::timeout);
    first.reset();
    waiting.get();
  }
  SECTION("all that wait go on together") {
    auto third = table.ticket(3, "a");
    auto waiting = behind(*second, seconds(600));
    while (looks < 1) std::this_thread::yield();
    auto also = behind(*third, seconds(600));
    while (looks < 3) std::this_thread::yield();
    first.reset();
    waiting.get();
    also.get();
    CHECK(second);
  }
  SECTION("no longer than is of use") {
    second->await_others(wanted, seconds(0), [&] { ++looks; });
    CHECK(looks == 0);
    CHECK(first);
  }
  SECTION("until the one that asks is ended") {
    auto waiting = behind(*second, seconds(600));
    while (looks < 1) std::this_thread::yield();
    table.builds.condemned(fake_path("two.drv"), {policy::rule::host, "over"});
    waiting.get();
    CHECK(second->ended()->reason == "over");
  }
  SECTION("the earlier one does not wait for the later") {
    first->await_others(wanted, seconds(600), [&] { ++looks; });
    CHECK(looks == 0);
  }
  SECTION("not by one that it makes itself") {
    auto both = plan("a");
    both.derivations.insert(fake_path("three.drv"));
    table.builds.session_opened(work("three"), 3);
    first.reset();
    second.reset();
    const auto above = table.builds.begin(1, both, [] {});
    REQUIRE(above);
    table.ticket(3, "a")->await_others(wanted, seconds(600), [&] { ++looks; });
    CHECK(looks == 0);
  }
  SECTION("not for anything else") {
    table.ticket(2, "b")->await_others({fake_path("b.drv")}, seconds(600), [&] { ++looks; });
    CHECK(looks == 0);
  }
  SECTION("what the client says ends it") {
    struct Gone {};
    CHECK_THROWS_AS(second->await_others(wanted, seconds(600), [] { throw Gone(); }), Gone);
  }
}

TEST_CASE("of sessions that ask for each other at the same moment not all get their ticket") {
  for (int round = 0; round < 200; ++round) {
    Table table;
    constexpr int sessions = 3;
    for (int i = 0; i < sessions; ++i) table.builds.session_opened(work(std::to_string(i)), i + 1);
    std::atomic<int> ready{0};
    std::atomic<int> admitted{0};
    std::vector<std::thread> threads;
    std::vector<std::unique_ptr<Builds::Ticket>> tickets(sessions);
    for (int i = 0; i < sessions; ++i)
      threads.emplace_back([&, i] {
        ++ready;
        while (ready < sessions) std::this_thread::yield();
        auto ticket = table.begin(i + 1, std::to_string((i + 1) % sessions));
        if (!ticket) return;
        tickets[static_cast<std::size_t>(i)] = *std::move(ticket);
        ++admitted;
      });
    for (auto& thread : threads) thread.join();
    REQUIRE(admitted == sessions - 1);
  }
}

TEST_CASE("who asked for a refused derivation hears which, and is not condemned") {
  Table table;
  const auto asked = table.ticket(1, "malformed");
  const auto other = table.ticket(2, "other");
  table.builds.refused(fake_path("malformed.drv"), "it says nonsense");
  CHECK(asked->refused() ==
        std::map<StorePath, std::string>{{fake_path("malformed.drv"), "it says nonsense"}});
  CHECK_FALSE(asked->condemned());
  CHECK(other->refused().empty());
}

TEST_CASE("what waits for a condemned session hears of it, by output path") {
  Table table;
  table.builds.session_opened({fake_path("first.drv"), {fake_path("shared")}}, 1);
  auto wanted = plan("second");
  wanted.outputs.emplace(fake_path("shared"), fake_path("second.drv"));
  const auto waiting = table.builds.begin(2, wanted, [] {});
  const auto other = table.ticket(3, "other");
  const auto own = table.ticket(1, "inner");
  REQUIRE(waiting);
  CHECK(table.builds.waiting_for({fake_path("first.drv"), {fake_path("shared")}}) ==
        std::set{LedgerSession(2)});
  table.builds.condemned(fake_path("first.drv"), {policy::rule::limits, "it was told"});
  REQUIRE((*waiting)->condemned());
  CHECK((*waiting)->condemned()->reason == "it was told");
  CHECK((*waiting)->condemned()->rule == "limits");
  CHECK_FALSE((*waiting)->ended());
  CHECK_FALSE(other->condemned());
  REQUIRE(own->ended());
  CHECK(own->ended()->reason == "it was told");
  CHECK(own->ended()->rule == "limits");
}

TEST_CASE("one request more than a session may have at once waits for a place") {
  Table table;
  table.limits.builds = 2;
  auto first = table.ticket(1, "a");
  const auto second = table.ticket(1, "b");
  CHECK(table.begin(2, "c"));  // another session has places of its own
  auto third = std::async(std::launch::async, [&] { return table.begin(1, "d"); });
  CHECK(third.wait_for(std::chrono::milliseconds(150)) == std::future_status::timeout);
  first.reset();
  CHECK(third.get());
}

TEST_CASE("waiting for a place ends with the client, and with the time that a request may take") {
  Table table;
  table.limits.builds = 1;
  const auto first = table.ticket(1, "a");
  struct Gone {};
  CHECK_THROWS_AS(table.builds.begin(1, plan("b"), [] { throw Gone(); }), Gone);
  table.limits.build_time = seconds(1);
  const auto late = table.begin(1, "b");
  REQUIRE_FALSE(late);
  CHECK_THAT(late.error().reason,
             Catch::Contains("limits.build-time in /etc/airlock/airlock.toml"));
}

TEST_CASE("one request more than the machine allows is refused") {
  Table table;
  table.limits.machine_builds = 2;
  const auto first = table.ticket(1, "a");
  auto second = table.ticket(2, "b");
  const auto third = table.begin(3, "c");
  REQUIRE_FALSE(third);
  CHECK_THAT(third.error().reason,
             Catch::Contains("the limit is 2; to allow more, raise "
                             "limits.machine-builds in /etc/airlock/airlock.toml"));
  CHECK(third.error().rule == "limits");
  second.reset();
  CHECK(table.begin(3, "c"));
}

TEST_CASE("a request that takes longer than allowed ends its session, once") {
  Table table;
  table.limits.build_time = seconds(100);
  const auto slow = table.ticket(1, "a");
  CHECK(table.endings(99).empty());
  const auto endings = table.endings(102);
  REQUIRE(endings.size() == 1);
  CHECK(endings.front().session == 1);
  CHECK_THAT(endings.front().why.reason,
             Catch::Contains("the limit is 100; to allow more, raise limits.build-time"));
  CHECK(slow->ended().value().reason == endings.front().why.reason);
  CHECK(endings.front().why.rule == "limits");
  CHECK(table.endings(200).empty());
}

TEST_CASE("a build that waits too long for a user ends its session, unless its own builds run") {
  Table table;
  const auto hungry = table.ticket(1, "a");
  hungry->upstream_waits_for(table.waiting_for_user(10));
  CHECK(table.endings(609).empty());
  auto scarce = table.waiting_for_user(10);
  scarce.idle.reset();
  hungry->upstream_waits_for(scarce);
  CHECK(table.endings(5000).empty());
  scarce.idle = table.start + seconds(5000);
  hungry->upstream_waits_for(scarce);
  CHECK(table.endings(5599).empty());
  const auto endings = table.endings(5601);
  REQUIRE(endings.size() == 1);
  CHECK_THAT(endings.front().why.reason,
             Catch::Contains("build user") && Catch::Contains("raise limits.starvation"));
}

TEST_CASE("a remote builder's slot is waited for no longer than a build user") {
  Table table;
  const auto hungry = table.ticket(1, "a");
  waits::Scarce scarce;
  scarce.machine = table.start;
  hungry->upstream_waits_for(scarce);
  CHECK(table.endings(599, 1).empty());
  CHECK(table.endings(601, 1).size() == 1);
}

TEST_CASE("when waiting builds hold every user the youngest is ended, and no other") {
  Table table;
  std::vector<std::unique_ptr<Builds::Ticket>> tickets;
  for (LedgerSession session = 1; session <= 3; ++session) {
    table.builds.session_opened(work("outer" + std::to_string(session)), session);
    tickets.push_back(table.ticket(session, "inner" + std::to_string(session)));
    tickets.back()->upstream_waits_for(table.waiting_for_user(static_cast<int>(session)));
  }
  CHECK(table.endings(60, 4).empty());  // one user is somewhere else, and may come back
  CHECK(table.endings(60).empty());     // nobody knows how many there are
  CHECK(table.endings(4, 3).empty());   // the last has only begun to wait
  const auto endings = table.endings(6, 3);
  REQUIRE(endings.size() == 1);
  CHECK(endings.front().session == 3);
  CHECK_THAT(endings.front().why.reason,
             Catch::Contains("all 3 build users") &&
                 Catch::Contains("set max-jobs below 3 in nix.conf") &&
                 Catch::Contains("add build users to the group nixbld"));
  CHECK(endings.front().why.rule == "starvation");
  CHECK(table.endings(60, 3).empty());  // its user is about to be free
  tickets.pop_back();
  CHECK(table.endings(60, 3).empty());
  CHECK(table.endings(60, 2).size() == 1);
}

TEST_CASE("a lock whose holder is not known starves no sooner than the limit says") {
  Table table;
  table.builds.session_opened(work("outer"), 1);
  const auto waiting = table.ticket(1, "inner");
  waits::Scarce scarce;
  scarce.lock = table.start;
  waiting->upstream_waits_for(scarce);
  CHECK(table.endings(599, 1).empty());
  CHECK(table.endings(9999, 2).empty());
  CHECK(table.endings(601, 1).size() == 1);
}

TEST_CASE("the watch ends what nobody else would, though nothing happens any more") {
  Table table;
  table.limits.build_time = seconds(1);
  std::promise<Builds::Ending> ended;
  BuildWatch watch(
      table.builds, [] { return std::nullopt; },
      [&](const Builds::Ending& ending) { ended.set_value(ending); });
  const auto slow = table.ticket(7, "a");
  auto future = ended.get_future();
  REQUIRE(future.wait_for(seconds(60)) == std::future_status::ready);
  CHECK(future.get().session == 7);
}

TEST_CASE("the watch sees that users were taken away, or that all of them wait") {
  Table table;
  std::promise<Builds::Ending> ended;
  std::atomic<std::size_t> users{2};
  BuildWatch watch(
      table.builds,
      [&] {
        return BuildUsers{"nixbld", users};
      },
      [&](const Builds::Ending& ending) { ended.set_value(ending); });
  table.builds.session_opened(work("outer"), 1);
  const auto hungry = table.ticket(1, "inner");
  hungry->upstream_waits_for(table.waiting_for_user(-10));
  auto future = ended.get_future();
  CHECK(future.wait_for(std::chrono::milliseconds(700)) == std::future_status::timeout);
  users = 1;
  REQUIRE(future.wait_for(seconds(60)) == std::future_status::ready);
  CHECK_THAT(future.get().why.reason, Catch::Contains("all 1 build users"));
}
