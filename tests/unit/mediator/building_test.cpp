// Requests to build, over whole connections against recording fakes: what of an outcome a client
// may see, and what ends its session.
#include "daemon/mediator/build_watch.hpp"
#include "tests/unit/mediator/conversation.hpp"

using namespace airlock;
using namespace airlock::fakes;

TEST_CASE(
    "a builder that was killed tells what the host was short of, perhaps, so it ends the sandbox") {
  for (const auto* signal : {"9 (Killed)", "11 (Segmentation fault)"}) {
    World world;
    const auto derivation = world.add_derivation("killed");
    world.upstream_state.status = wire::BuildStatus::permanent_failure;
    world.upstream_state.failure = std::string("builder for 'x' failed due to signal ") + signal;
    Conversation client(world);
    client.handshake();
    const wire::BuildPaths request{{{derivation, true, {}}}, wire::BuildMode::normal};
    const bool killed = std::string_view(signal).starts_with("9 ");
    if (killed)
      CHECK_THROWS_AS(client.ask(wire::Op::build_paths, request), ConnectionOver);
    else
      CHECK(client.ask(wire::Op::build_paths, request).has_value());
    CHECK(world.session.condemned() == killed);
    CHECK(world.ledger.rules("condemn").size() == (killed ? 1 : 0));
    if (killed) CHECK(world.ledger.rules("condemn").front() == "host-failed");
  }
}

TEST_CASE(
    "a build: its outputs are granted before the reply; a failure of the derivation's own is an "
    "error") {
  World world;
  const auto derivation = world.add_derivation("built");
  const auto output = policy::fake_path("built");
  {
    Conversation client(world);
    client.handshake();
    const auto error = client.ask(
        wire::Op::build_paths, wire::BuildPaths{{{derivation, true, {}}}, wire::BuildMode::normal});
    REQUIRE_FALSE(error);
    CHECK(client.from().u64() == 1);
    CHECK(world.session.visible(output));
    CHECK(world.is_owed(output));
  }
  world.upstream_state.status = wire::BuildStatus::permanent_failure;
  const auto failing = world.add_derivation("failing");
  {
    Conversation client(world);
    client.handshake();
    CHECK(client
              .ask(wire::Op::build_paths,
                   wire::BuildPaths{{{failing, true, {}}}, wire::BuildMode::normal})
              .has_value());
  }
  CHECK_FALSE(world.session.condemned());
  CHECK_FALSE(world.session.visible(policy::fake_path("failing")));
  world.upstream_state.status = wire::BuildStatus::timed_out;
  {
    Conversation client(world);
    client.handshake();
    CHECK_THROWS_AS(client.ask(wire::Op::build_paths,
                               wire::BuildPaths{{{failing, true, {}}}, wire::BuildMode::normal}),
                    ConnectionOver);
  }
  CHECK(world.session.condemned());
}

TEST_CASE(
    "a dependency that failed for the host's reason ends the sandbox, though the target's own "
    "result hides it") {
  for (const bool of_the_host : {true, false}) {
    CAPTURE(of_the_host);
    World world;
    const auto dependency = world.add_derivation("dependency");
    Derivation top;
    top.outputs["out"] = {policy::fake_path("top"), "", ""};
    top.input_derivations[dependency] = {"out"};
    const auto target = policy::fake_path("top.drv");
    world.upstream_state.infos[target] = {};
    world.session.remember(target, top);
    world.session.grant({target}, "added");
    world.upstream_state.will_build = {dependency, target};
    world.upstream_state.statuses[dependency] =
        of_the_host ? wire::BuildStatus::timed_out : wire::BuildStatus::permanent_failure;
    world.upstream_state.statuses[target] = wire::BuildStatus::dependency_failed;
    Conversation client(world);
    client.handshake();
    const auto ask = [&] {
      return client.ask(wire::Op::build_paths,
                        wire::BuildPaths{{{target, true, {}}}, wire::BuildMode::normal});
    };
    if (of_the_host)
      CHECK_THROWS_AS(ask(), ConnectionOver);
    else
      CHECK(ask().value_or("succeeded") ==
            "builder for '" + world.config.layout.print(dependency) + "' failed");
    CHECK(world.session.condemned() == of_the_host);
  }
}

TEST_CASE("a session is granted no more paths and bytes than its limits allow") {
  for (const std::string what : {"all", "paths", "bytes"}) {
    CAPTURE(what);
    World world;
    const auto derivation = world.add_derivation("built");
    const auto output = policy::fake_path("built");
    // What was added before, the output, and what it refers to.
    world.config.limits.paths = what == "paths" ? 2 : 3;
    world.config.limits.granted_bytes = what == "bytes" ? 9 : 10;
    const auto reference = policy::fake_path("reference");
    wire::PathInfo info;
    info.nar_size = 5;
    world.upstream_state.infos[reference] = info;
    world.upstream_state.while_building = [&](const LogRelay&, int) {
      info.references = {reference};
      world.upstream_state.built_info = info;
    };
    Conversation client(world);
    client.handshake();
    const wire::BuildPaths request{{{derivation, true, {}}}, wire::BuildMode::normal};
    if (what == "all") {
      CHECK_FALSE(client.ask(wire::Op::build_paths, request));
      CHECK(world.session.visible(output));
      continue;
    }
    CHECK_THROWS_AS(client.ask(wire::Op::build_paths, request), ConnectionOver);
    CHECK(world.session.condemned());
    CHECK(world.ledger.rules("condemn") == std::vector<std::string>{"limits"});
    CHECK_FALSE(world.session.visible(output));
    CHECK(world.trace.count("grant " + output.base()) == 0);
    CHECK_THAT(world.boundary.reason,
               Catch::Contains("raise limits." +
                               std::string(what == "paths" ? "paths" : "granted-bytes")));
  }
}

TEST_CASE("a build that waits too long is ended by ending its session, whose ledger says why") {
  World world;
  world.config.limits.starvation = std::chrono::seconds(1);
  const auto derivation = world.add_derivation("starved");
  BuildWatch watch(
      world.builds, [] { return std::nullopt; },
      [&](const Builds::Ending& ending) { (void)world.session.condemn(ending.why); });
  world.upstream_state.while_building = [&](const LogRelay& log, int client) {
    log(wire::StartActivity{1, 1, wire::activity_build_waiting, "waiting for UID to build", {}, 0});
    for (int i = 0; i < 6000 && !world.session.condemned(); ++i)
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    ::shutdown(client, SHUT_RDWR);  // as when the sandbox is killed
    throw wire::WatchedHungUp("the client hung up");
  };
  {
    Conversation client(world);
    client.handshake();
    CHECK_THROWS_AS(client.ask(wire::Op::build_paths,
                               wire::BuildPaths{{{derivation, true, {}}}, wire::BuildMode::normal}),
                    ConnectionOver);
  }
  CHECK(world.session.condemned());
  REQUIRE(world.ledger.operations.size() == 1);
  CHECK(world.ledger.operations.front().verdict == "condemn");
  CHECK(world.ledger.operations.front().rule == "starvation");
  CHECK_THAT(world.ledger.operations.front().reason, Catch::Contains("limits.starvation"));
}

TEST_CASE("a build that was tried again and succeeded tells nothing of the first attempt's end") {
  for (const bool succeeds : {true, false}) {
    World world;
    const auto derivation = world.add_derivation("retried");
    world.upstream_state.status =
        succeeds ? wire::BuildStatus::built : wire::BuildStatus::permanent_failure;
    world.upstream_state.while_building = [&](const LogRelay&, int) {
      world.builds.condemned(derivation, {policy::rule::limits, "a limit of the host's"});
    };
    Conversation client(world);
    client.handshake();
    const wire::BuildPaths request{{{derivation, true, {}}}, wire::BuildMode::normal};
    if (succeeds)
      CHECK_FALSE(client.ask(wire::Op::build_paths, request));
    else
      CHECK_THROWS_AS(client.ask(wire::Op::build_paths, request), ConnectionOver);
    CHECK(world.session.condemned() == !succeeds);
    // Of the session that was ended inside, not of the one that waited.
    if (!succeeds) CHECK(world.ledger.rules("condemn") == std::vector<std::string>{"limits"});
  }
}

TEST_CASE(
    "a build refused for what it says itself fails like any other, and what is beside it is "
    "built") {
  World world;
  const auto malformed = world.add_derivation("malformed");
  const auto beside = world.add_derivation("beside");
  world.upstream_state.stopped = {malformed};
  const bool known = GENERATE(true, false);
  world.upstream_state.while_building = [&](const LogRelay&, int) {
    if (known) world.builds.refused(malformed, "it says nonsense");
  };
  Conversation client(world);
  client.handshake();
  const wire::BuildPaths request{{{malformed, true, {}}, {beside, true, {}}},
                                 wire::BuildMode::normal};
  if (known) {
    CHECK(client.ask(wire::Op::build_paths, request) ==
          "airlock refuses to build '/nix/store/" + malformed.base() + "': it says nonsense");
    CHECK(world.session.visible(policy::fake_path("beside")));
  } else {  // whatever stopped it may be the host's
    CHECK_THROWS_AS(client.ask(wire::Op::build_paths, request), ConnectionOver);
  }
  CHECK(world.session.condemned() != known);
}

TEST_CASE("a fixed output that fails transiently is an answer of the network: seen only if open") {
  for (const auto policy : {FixedOutputPolicy::open, FixedOutputPolicy::sealed}) {
    for (const bool fixed : {true, false}) {
      CAPTURE(fixed, static_cast<int>(policy));
      World world;
      world.config.fixed_output = policy;
      Session session{2, 2, policy::fake_path("asking.drv"), Derivation{}, {}, world.services};
      Derivation fetch;
      fetch.outputs["out"] = {policy::fake_path("fetched"), fixed ? "sha256" : "",
                              fixed ? std::string(64, '0') : ""};
      const auto path = policy::fake_path("fetched.drv");
      world.upstream_state.infos[path] = {};
      session.remember(path, fetch);
      session.grant({path}, "added");
      world.upstream_state.status = wire::BuildStatus::transient_failure;
      Conversation client(world, session);
      client.handshake();
      const wire::BuildPaths request{{{path, true, {}}}, wire::BuildMode::normal};
      const bool seen = fixed && policy == FixedOutputPolicy::open;
      if (seen)
        CHECK(client.ask(wire::Op::build_paths, request) == "it failed");
      else
        CHECK_THROWS_AS(client.ask(wire::Op::build_paths, request), ConnectionOver);
      CHECK(session.condemned() == !seen);
      if (!seen)
        CHECK(world.ledger.rules("condemn") ==
              std::vector<std::string>{fixed ? "sealed" : "host-failed"});
    }
  }
}

TEST_CASE("however often a failure is asked about, its causes are named once, and the first ten") {
  World world;
  Derivation top;
  top.outputs["out"] = {policy::fake_path("top"), "", ""};
  std::set<StorePath> failing;
  for (int i = 0; i < 40; ++i) failing.insert(world.add_derivation(fmt::format("failing{}", i)));
  for (const auto& each : failing) top.input_derivations[each] = {"out"};
  const auto target = policy::fake_path("top.drv");
  world.upstream_state.infos[target] = {};
  world.session.remember(target, top);
  world.session.grant({target}, "added");
  world.upstream_state.status = wire::BuildStatus::permanent_failure;
  world.upstream_state.statuses[target] = wire::BuildStatus::dependency_failed;
  world.upstream_state.will_build = failing;
  std::string first_ten;
  for (auto each = failing.begin(); each != std::next(failing.begin(), 10); ++each)
    first_ten += "builder for '" + world.config.layout.print(*each) + "' failed\n";

  Conversation client(world);
  client.handshake();
  const wire::Targets often(2000, {target, true, {}});
  const auto error = client.ask(wire::Op::build_paths, wire::BuildPaths{often});
  REQUIRE(error);
  CHECK(error->size() == (first_ten + "and 30 more").size());
  CHECK(error->substr(0, 4096) == first_ten + "and 30 more");
  REQUIRE_FALSE(client.ask(wire::Op::build_paths_with_results, wire::BuildPathsWithResults{often}));
  const auto results = wire::BuildResults::decode(client.from(), wire::newest).results;
  CHECK(results.size() == often.size());
  CHECK(results.back().result.status == wire::BuildStatus::dependency_failed);
  CHECK(results.back().result.error.substr(0, 4096) == first_ten + "and 30 more");
  // Of those that were asked for themselves as well.
  wire::Targets all;
  for (const auto& each : failing) all.push_back({each, true, {}});
  const auto of_all = client.ask(wire::Op::build_paths, wire::BuildPaths{all});
  CHECK(of_all.value_or("").substr(0, 4096) == first_ten + "and 30 more");
}

TEST_CASE("each target of one derivation has the outputs that it is about") {
  World world;
  Derivation two;
  for (const auto* name : {"dev", "out"}) two.outputs[name] = {policy::fake_path(name), "", ""};
  const auto derivation = policy::fake_path("two.drv");
  for (const auto* name : {"two.drv", "dev", "out"})
    world.upstream_state.infos[policy::fake_path(name)] = {};
  world.session.remember(derivation, two);
  world.session.grant({derivation}, "added");
  for (const auto* name : {"dev", "out"})
    world.upstream_state.built_outputs.emplace_back(
        std::string("sha256:00!") + name,
        R"({"outPath":")" + policy::fake_path(name).base() + R"("})");
  Conversation client(world);
  client.handshake();
  const wire::Targets targets{{derivation, true, {"out"}}, {derivation, true, {"dev"}}};
  REQUIRE_FALSE(
      client.ask(wire::Op::build_paths_with_results, wire::BuildPathsWithResults{targets}));
  const auto results = wire::BuildResults::decode(client.from(), wire::newest).results;
  REQUIRE(results.size() == 2);
  for (const std::size_t i : {0, 1}) {
    CHECK(results[i].target == targets[i]);
    REQUIRE(results[i].result.built_outputs.size() == 1);
    CHECK(results[i].result.built_outputs.front().first ==
          "sha256:00!" + *targets[i].outputs.begin());
  }
  CHECK(world.session.visible(policy::fake_path("dev")));
  CHECK(world.session.visible(policy::fake_path("out")));
}

TEST_CASE("what a builder prints is not the reason of its failure, in no version's words") {
  const auto [failure, killed] = GENERATE(table<std::string, bool>(
      {{"builder for 'x' failed with exit code 3;\nlast 1 log lines:\n> failed due to signal 9 "
        "(Killed)\nFor full logs, run 'nix log x'.",
        false},
       {"builder for 'x' failed due to signal 9 (Killed);\nlast 1 log lines:\n> said", true},
       {"builder for 'x' failed with exit code 3; last 1 log lines:\n  failed due to signal 9 "
        "(Killed)",
        false},
       {"builder for 'x' failed due to signal 9 (Killed); last 1 log lines:\n  said", true},
       {"Cannot build 'x'.\nReason: builder failed with exit code 3.\nOutput paths:\n  o\nLast 1 "
        "log lines:\n> failed due to signal 9 (Killed)",
        false},
       {"Cannot build 'x'.\nReason: builder failed due to signal 9 (Killed).\nOutput paths:\n  o\n"
        "Last 1 log lines:\n> said",
        true}}));
  CAPTURE(failure);
  World world;
  const auto derivation = world.add_derivation("printing");
  world.upstream_state.status = wire::BuildStatus::permanent_failure;
  world.upstream_state.failure = failure;
  Conversation client(world);
  client.handshake();
  const wire::BuildPaths request{{{derivation, true, {}}}, wire::BuildMode::normal};
  if (killed)
    CHECK_THROWS_AS(client.ask(wire::Op::build_paths, request), ConnectionOver);
  else
    CHECK_NOTHROW(client.ask(wire::Op::build_paths, request));
  CHECK(world.session.condemned() == killed);
}

TEST_CASE(
    "what upstream says of an output and is not what Nix writes is its fault, not the client's") {
  World world;
  const auto derivation = world.add_derivation("odd");
  world.upstream_state.built_outputs = {{"sha256:00!out", "{}"}};
  Conversation client(world);
  client.handshake();
  CHECK_THROWS_AS(
      client.ask(wire::Op::build_paths_with_results,
                 wire::BuildPathsWithResults{{{derivation, true, {}}}, wire::BuildMode::normal}),
      ConnectionOver);
  CHECK(world.session.condemned());
  CHECK(world.ledger.rules("condemn") == std::vector<std::string>{std::string(policy::rule::host)});
}
