// Who may fetch: a few of one build at once, some places for those that have none, and in turns.
#include "daemon/mediator/fetch_turns.hpp"

#include <catch2/catch.hpp>
#include <future>
#include <memory>
#include <mutex>
#include <optional>
#include <stdexcept>
#include <vector>

#include "daemon/fetch/conversation.hpp"

using namespace airlock;

namespace {

class NotWanted : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

struct Places {
  FetchTurns turns;
  using Held = std::unique_ptr<FetchTurns::Turn>;

  /// Null where it would have to wait.
  Held take(FetchTurns::Build& build) {
    try {
      return std::unique_ptr<FetchTurns::Turn>(
          new FetchTurns::Turn(turns.await(build, [] { throw NotWanted("it would wait"); })));
    } catch (const NotWanted&) {
      return nullptr;
    }
  }
  std::vector<Held> take_all(FetchTurns::Build& build) {
    std::vector<Held> held;
    for (auto one = take(build); one; one = take(build)) held.push_back(std::move(one));
    return held;
  }
};

}  // namespace

TEST_CASE("a build has a few fetches at once, and may have another when one of them ends") {
  Places places;
  FetchTurns::Build build;
  auto held = places.take_all(build);
  CHECK(held.size() == FetchTurns::of_one_build);
  held.pop_back();
  CHECK(places.take_all(build).size() == 1);
}

TEST_CASE("builds that have many leave the last places to those that have none") {
  Places places;
  std::vector<FetchTurns::Build> builds(fetch::most_at_once + 1);
  std::vector<std::vector<Places::Held>> held;
  std::size_t taken = 0;
  for (auto& build : builds) {
    held.push_back(places.take_all(build));
    taken += held.back().size();
    if (taken + FetchTurns::of_one_build > fetch::most_at_once) CHECK(held.back().size() <= 1);
  }
  CHECK(taken == fetch::most_at_once);
  CHECK(held.front().size() == FetchTurns::of_one_build);
  CHECK(held.at(6).size() == 1);
  CHECK(held.back().empty());
}

TEST_CASE("first the build whose last fetch began longest ago, however many another asks for") {
  Places places;
  FetchTurns::Build greedy;
  FetchTurns::Build modest;
  CHECK(places.take(greedy));
  CHECK(places.take(modest));
  std::vector<FetchTurns::Build> others(fetch::most_at_once);
  std::vector<Places::Held> full;
  for (auto& other : others) full.push_back(places.take(other));
  REQUIRE(full.back());

  std::vector<FetchTurns::Build*> order;
  std::mutex mutex;
  const auto waits = [&](FetchTurns::Build& build) {
    std::promise<void> in_line;
    auto seen = in_line.get_future();
    auto thread =
        std::async(std::launch::async, [&, told = std::optional(std::move(in_line))]() mutable {
          const auto turn = places.turns.await(build, [&] {
            if (told) told->set_value();
            told.reset();
          });
          const std::lock_guard lock(mutex);
          order.push_back(&build);
        });
    seen.wait();
    return thread;
  };
  std::vector<std::future<void>> threads;
  for (int i = 0; i < 3; ++i) threads.push_back(waits(greedy));
  threads.push_back(waits(modest));
  full.pop_back();  // one place, which they have one after another
  for (auto& thread : threads) thread.wait();
  CHECK(order == std::vector{&greedy, &modest, &greedy, &greedy});
}

TEST_CASE("one that is not wanted any more leaves the line to the others") {
  Places places;
  FetchTurns::Build build;
  auto held = places.take_all(build);
  CHECK_FALSE(places.take(build));
  held.pop_back();
  CHECK(places.take(build));
}
