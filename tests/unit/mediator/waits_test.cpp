// The waits-for graph as values: cycles, and who is starved of build users.
#include "daemon/mediator/waits.hpp"

#include <catch2/catch.hpp>

#include "tests/unit/policy/fake_scene.hpp"

using namespace airlock;
using policy::fake_path;

namespace {

waits::Work work(const std::string& name, const std::string& output = {}) {
  return {fake_path(name + ".drv"), {fake_path(output.empty() ? name : output)}};
}

policy::BuildPlan plan(const std::vector<std::string>& names) {
  policy::BuildPlan plan;
  for (const auto& name : names) {
    plan.derivations.insert(fake_path(name + ".drv"));
    plan.outputs.emplace(fake_path(name), fake_path(name + ".drv"));
  }
  return plan;
}

waits::Clock::time_point at(int seconds) {
  return waits::Clock::time_point(std::chrono::seconds(seconds));
}

/// Sessions a, b, c, … have the numbers 1, 2, 3, …
struct Graph {
  waits::Sessions open;
  waits::Requests requests;
  explicit Graph(int sessions) {
    for (int i = 1; i <= sessions; ++i) open.emplace(i, work(std::string(1, "abcdef"[i - 1])));
  }
  waits::Request& ask(LedgerSession session, const std::vector<std::string>& names) {
    requests.push_back({session, plan(names), {}, {}, {}, {}});
    return requests.back();
  }
  std::vector<LedgerSession> cycle(LedgerSession session, const std::vector<std::string>& names) {
    return waits::cycle(session, plan(names), open, requests);
  }
  std::set<LedgerSession> starved(bool locks_too = false) {
    return waits::starved(open, requests, locks_too).sessions;
  }
};

using Chain = std::vector<LedgerSession>;
using Set = std::set<LedgerSession>;

}  // namespace

TEST_CASE("a cycle is found through any number of sessions and spelled from the top") {
  Graph graph(4);
  graph.ask(1, {"b", "unrelated"});
  CHECK(graph.cycle(2, {"c"}).empty());
  CHECK(graph.cycle(2, {"a"}) == Chain{1, 2});
  graph.ask(2, {"c"});
  graph.ask(3, {"x", "d"});
  CHECK(graph.cycle(4, {"x"}).empty());
  CHECK(graph.cycle(4, {"y", "a"}) == Chain{1, 2, 3, 4});
  CHECK(graph.cycle(4, {"c"}) == Chain{3, 4});
}

TEST_CASE("asking twice for the same, or in a diamond, is no cycle") {
  Graph graph(4);
  graph.ask(1, {"b", "c"});
  graph.ask(1, {"d"});
  graph.ask(2, {"d"});
  graph.ask(3, {"d"});
  CHECK(graph.cycle(2, {"d"}).empty());
  CHECK(graph.cycle(3, {"b"}).empty());
  CHECK(graph.cycle(4, {"leaf"}).empty());
}

TEST_CASE("a cycle that is there already is walked once, not for ever") {
  Graph graph(3);
  graph.ask(1, {"b"});
  graph.ask(2, {"a"});
  graph.ask(2, {"c"});
  CHECK(graph.cycle(3, {"leaf"}).empty());
}

TEST_CASE("derivations that share an output path are the same work") {
  Graph graph(2);
  graph.open.insert_or_assign(1, work("one", "shared"));
  graph.requests.push_back({1, plan({"b"}), {}, {}, {}, {}});
  auto other = plan({"other"});
  CHECK(waits::cycle(2, other, graph.open, graph.requests).empty());
  other.outputs.emplace(fake_path("shared"), fake_path("other.drv"));
  CHECK(waits::cycle(2, other, graph.open, graph.requests) == Chain{1, 2});
}

TEST_CASE("a session is starved by a request that waits for a user, not by one that builds") {
  Graph graph(3);
  graph.ask(1, {"x"}).scarce.user = at(5);
  graph.ask(2, {"y"});
  CHECK(graph.starved() == Set{1});
  graph.ask(2, {"z"}).scarce.user = at(7);
  graph.ask(2, {"z2"}).scarce.user = at(9);
  CHECK(graph.starved() == Set{1, 2});
  CHECK(waits::starved(graph.open, graph.requests, false).since == at(7));
}

TEST_CASE("starvation reaches those that wait for a starved session or for its lock") {
  Graph graph(4);
  graph.ask(1, {"b"});
  graph.ask(2, {"c"});
  auto& leaf = graph.ask(3, {"x"});
  graph.ask(4, {"x", "y"}).scarce.lock = at(3);
  CHECK(graph.starved().empty());
  CHECK(graph.starved(true) == Set{4});
  leaf.scarce.user = at(1);
  CHECK(graph.starved() == Set{1, 2, 3, 4});
  leaf.ended = {policy::rule::starvation, "it is being ended"};
  CHECK(graph.starved().empty());
}

TEST_CASE("a lock that nobody starved holds is just a lock") {
  Graph graph(2);
  graph.ask(1, {"x"}).scarce.user = at(1);
  graph.ask(2, {"y"}).scarce.lock = at(1);
  CHECK(graph.starved() == Set{1});
  CHECK(graph.starved(true) == Set{1, 2});
}
