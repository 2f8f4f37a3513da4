#include "daemon/mediator/locked_fetches.hpp"

#include <sys/socket.h>

#include <algorithm>
#include <atomic>
#include <catch2/catch.hpp>
#include <mutex>
#include <thread>

#include "daemon/fetch/conversation.hpp"
#include "daemon/mediator/call.hpp"
#include "daemon/wire/fd_stream.hpp"
#include "tests/unit/mediator/fakes.hpp"

using namespace airlock;
using namespace airlock::fakes;

namespace {

class TextContent final : public fetch::Content {
 public:
  explicit TextContent(std::string text) : text_(std::move(text)), source_(text_) {}
  void read(std::span<char> buffer) override { source_.read(buffer); }
  std::size_t read_some(std::span<char> buffer) override {
    const auto n = std::min(buffer.size(), source_.rest().size());
    source_.read(buffer.first(n));
    return n;
  }

 private:
  std::string text_;
  StringSource source_;
};

struct FakeFetcher final : fetch::Fetcher {
  tl::expected<std::unique_ptr<fetch::Content>, std::string> fetch(const fetch::Request&,
                                                                   int) override {
    ++asked;
    {
      const std::lock_guard lock(mutex);
      most = std::max(most, ++at_once);
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    for (int i = 0; i < 1000 && held; ++i)
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    {
      const std::lock_guard lock(mutex);
      --at_once;
    }
    if (!failure.empty()) return tl::unexpected(failure);
    return std::make_unique<TextContent>(content);
  }
  std::atomic<int> asked = 0;
  std::atomic<bool> held = false;  ///< at most ten seconds
  std::string content = "hello";
  std::string failure;
  std::mutex mutex;  ///< guards what is below
  std::size_t at_once = 0;
  std::size_t most = 0;
};

/// A session with one locked file, "hello".
struct Fetching {
  explicit Fetching(FixedOutputPolicy policy, const std::string& url = "https://h/hello") {
    world.config.fixed_output = policy;
    world.services.fetcher = &fetcher;
    world.services.fetch_turns = &turns;
    world.upstream_state.added = path;
    fetch::Locks locks;
    for (const auto& other : others)
      locks.emplace(other,
                    fetch::Lock{other, address, {fetch::Kind::file, url + other.base(), {}}});
    locks.emplace(path, fetch::Lock{path, address, {fetch::Kind::file, url, {}}});
    session = std::make_unique<Session>(2, 2, policy::fake_path("locked.drv"), Derivation{},
                                        std::set<StorePath>{}, world.services, std::move(locks));
  }
  std::optional<LockedFetches::Outcome> ask(const StorePath& asked, int client = -1) {
    StringSink sink;
    wire::Writer writer(sink, world.config.layout);
    UpstreamLine line(session->spare_upstream());
    Call call{*session, world.services, line, writer, wire::newest, client};
    return session->fetches().make_visible(asked, call);
  }

  World world;
  FakeFetcher fetcher;
  FetchTurns turns;
  ContentAddress address{IngestionMethod::flat, sha256("hello")};
  StorePath path = path_of(world.config.layout, "hello", address, {}).value();
  std::vector<StorePath> others = [] {
    std::vector<StorePath> paths;
    for (int i = 0; i < 12; ++i) paths.push_back(policy::fake_path("other" + std::to_string(i)));
    return paths;
  }();
  std::unique_ptr<Session> session;
};

}  // namespace

TEST_CASE("a locked path is fetched, added and granted, once") {
  Fetching fetching(FixedOutputPolicy::sealed);
  const auto outcome = fetching.ask(fetching.path);
  REQUIRE(outcome);
  CHECK(outcome->failure.empty());
  CHECK(outcome->verdict.rule == "fetch-locked");
  CHECK(fetching.session->visible(fetching.path));
  CHECK(fetching.world.trace.index("add hello") <
        fetching.world.trace.index("grant " + fetching.path.base()));
  CHECK_FALSE(fetching.ask(fetching.path));
  CHECK(fetching.fetcher.asked == 1);
}

TEST_CASE("what is in no lock is never fetched") {
  Fetching fetching(FixedOutputPolicy::sealed);
  CHECK_FALSE(fetching.ask(fetching.world.hidden));
  CHECK(fetching.fetcher.asked == 0);
}

TEST_CASE("what the host has is granted as it is") {
  Fetching fetching(FixedOutputPolicy::sealed);
  fetching.world.upstream_state.infos[fetching.path] = {};
  CHECK(fetching.ask(fetching.path)->failure.empty());
  CHECK(fetching.session->visible(fetching.path));
  CHECK(fetching.fetcher.asked == 0);
}

TEST_CASE("clients that ask at the same time have it fetched once") {
  Fetching fetching(FixedOutputPolicy::sealed);
  std::vector<std::thread> clients;
  for (int i = 0; i < 8; ++i) clients.emplace_back([&] { (void)fetching.ask(fetching.path); });
  for (auto& client : clients) client.join();
  CHECK(fetching.fetcher.asked == 1);
  CHECK(fetching.session->visible(fetching.path));
}

TEST_CASE("a build with many fetches at once has them done a few at a time") {
  Fetching fetching(FixedOutputPolicy::open);
  fetching.fetcher.failure = "cannot fetch it";
  std::vector<std::thread> clients;
  for (const auto& other : fetching.others)
    clients.emplace_back([&] { CHECK(fetching.ask(other)->failure == "cannot fetch it"); });
  for (auto& client : clients) client.join();
  CHECK(fetching.fetcher.asked == 12);
  CHECK(fetching.fetcher.most <= FetchTurns::of_one_build);
}

TEST_CASE("who waits for another's fetch and hangs up is not waited for") {
  Fetching fetching(FixedOutputPolicy::sealed);
  fetching.fetcher.held = true;
  std::thread first([&] { (void)fetching.ask(fetching.path); });
  while (fetching.fetcher.asked == 0) std::this_thread::yield();
  int ends[2];
  REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0);
  const Fd client(ends[0]);
  ::close(ends[1]);
  CHECK_THROWS_AS(fetching.ask(fetching.path, client.get()), wire::WatchedHungUp);
  CHECK(fetching.fetcher.held);
  fetching.fetcher.held = false;
  first.join();
  CHECK(fetching.session->visible(fetching.path));
}

TEST_CASE("other content than the lock says is not added, and sealed ends the build") {
  Fetching fetching(FixedOutputPolicy::sealed);
  fetching.fetcher.content = "other";
  CHECK_THROWS_AS(fetching.ask(fetching.path), Condemned);
  CHECK_FALSE(fetching.session->visible(fetching.path));
  CHECK(fetching.world.trace.count("add ") == 0);
}

TEST_CASE("open: a failure is told, and is the answer from then on") {
  Fetching fetching(FixedOutputPolicy::open);
  fetching.fetcher.failure = "cannot fetch it";
  CHECK(fetching.ask(fetching.path)->failure == "cannot fetch it");
  fetching.fetcher.failure.clear();
  CHECK(fetching.ask(fetching.path)->failure == "cannot fetch it");
  CHECK(fetching.fetcher.asked == 1);
}

TEST_CASE("closed, and schemes that are not allowed: refused, whether or not the host has it") {
  const auto [policy, url, rule] = GENERATE(table<FixedOutputPolicy, std::string, std::string>(
      {{FixedOutputPolicy::closed, "https://h/hello", "fixed-output-closed"},
       {FixedOutputPolicy::sealed, "http://h/hello", "fetch-scheme"},
       {FixedOutputPolicy::sealed, "file:///hello", "fetch-scheme"}}));
  Fetching fetching(policy, url);
  if (GENERATE(false, true)) fetching.world.upstream_state.infos[fetching.path] = {};
  const auto outcome = fetching.ask(fetching.path);
  CHECK(outcome->verdict.rule == rule);
  CHECK(outcome->failure.find(rule) != std::string::npos);
  CHECK_FALSE(fetching.session->visible(fetching.path));
  CHECK(fetching.fetcher.asked == 0);
}

TEST_CASE("a hash that is in no lock is told how to get into one") {
  Fetching fetching(FixedOutputPolicy::sealed);
  const auto& session = *fetching.session;
  CHECK(session.visible(fetching.path) == false);
  CHECK(fetching.session->fetches().hint(policy::fake_path("source"), session));
  CHECK_FALSE(fetching.session->fetches().hint(policy::fake_path("hello"), session));
  CHECK_FALSE(fetching.session->fetches().hint(fetching.path, session));
}
