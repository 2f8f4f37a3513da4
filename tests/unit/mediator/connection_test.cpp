// Whole connections against recording fakes: what is asked of upstream and of the boundary, in
// which order, and what the client reads.
#include "daemon/mediator/connection.hpp"

#include <sys/socket.h>

#include <catch2/catch.hpp>
#include <thread>

#include "daemon/mediator/build_watch.hpp"
#include "daemon/wire/fd_stream.hpp"
#include "daemon/wire/handshake.hpp"
#include "daemon/wire/messages.hpp"
#include "tests/unit/mediator/fakes.hpp"

using namespace airlock;
using namespace airlock::fakes;

namespace {

/// A client at one end of a socket pair, serve_connection on a thread at the other.
class Conversation {
 public:
  explicit Conversation(World& world) : Conversation(world, world.session) {}
  Conversation(World& world, Session& session) : world_(world) {
    int ends[2];
    REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0);
    client_ = Fd(ends[0]);
    server_ = Fd(ends[1]);
    thread_ = std::thread([this, &session] {
      serve_connection(server_.get(), 1, session, world_.services);
      server_.reset();
    });
    source_.emplace(client_.get(), std::chrono::seconds(10));
    sink_.emplace(client_.get(), std::chrono::seconds(10));
    reader_.emplace(*source_, world.config.layout, wire::Caps{});
    writer_.emplace(*sink_, world.config.layout);
  }
  Conversation(const Conversation&) = delete;
  Conversation& operator=(const Conversation&) = delete;
  ~Conversation() {
    client_.reset();
    thread_.join();
  }

  wire::Reader& from() { return *reader_; }
  wire::Writer& to() { return *writer_; }
  void handshake() {
    version_ = wire::offer_handshake(from(), to()).version;
    REQUIRE_FALSE(finish().has_value());
  }
  /// The error, if it ended in one.
  std::optional<std::string> finish() {
    to().flush();
    for (;;) {
      const auto message = wire::read_log_message(from(), version_);
      if (std::holds_alternative<wire::Last>(message)) return std::nullopt;
      if (const auto* error = std::get_if<wire::Error>(&message)) return error->message;
    }
  }
  template <class R>
  std::optional<std::string> ask(wire::Op op, const R& request) {
    to().u64(static_cast<std::uint64_t>(op));
    request.encode(to(), world_.config.layout, wire::newest);
    return finish();
  }
  std::optional<std::string> upload(wire::Op op, const wire::AddToStore& request,
                                    const std::string& bytes) {
    to().u64(static_cast<std::uint64_t>(op));
    request.encode(to(), world_.config.layout, wire::newest);
    wire::FramedSink frames(to());
    frames.write(bytes);
    frames.finish();
    return finish();
  }

 private:
  World& world_;
  wire::Version version_ = wire::newest;
  Fd client_;
  Fd server_;
  std::thread thread_;
  std::optional<wire::FdSource> source_;
  std::optional<wire::FdSink> sink_;
  std::optional<wire::Reader> reader_;
  std::optional<wire::Writer> writer_;
};

}  // namespace

TEST_CASE("a caller that is not of the sandbox gets nothing") {
  World world;
  world.boundary.verified = false;
  Conversation client(world);
  CHECK_THROWS_AS(client.handshake(), ConnectionOver);
  CHECK(world.trace.count("verify") == 1);
}

TEST_CASE("questions are answered without upstream, and hidden paths do not exist") {
  World world;
  Conversation client(world);
  client.handshake();
  REQUIRE_FALSE(client.ask(wire::Op::is_valid_path, wire::IsValidPath{world.visible}));
  CHECK(client.from().boolean());
  REQUIRE_FALSE(client.ask(wire::Op::is_valid_path, wire::IsValidPath{world.hidden}));
  CHECK_FALSE(client.from().boolean());
  REQUIRE_FALSE(client.ask(wire::Op::query_path_info, wire::QueryPathInfo{world.hidden}));
  CHECK(client.from().u64() == 0);
  REQUIRE_FALSE(client.ask(wire::Op::query_all_valid_paths, wire::QueryAllValidPaths{}));
  CHECK(client.from().paths() == wire::StorePathSet{world.visible});
  REQUIRE_FALSE(client.ask(wire::Op::query_valid_paths,
                           wire::QueryValidPaths{{world.visible, world.hidden}, true}));
  CHECK(client.from().paths() == wire::StorePathSet{world.visible});
  CHECK(world.trace.count("connect upstream") == 0);
}

TEST_CASE("a refusal is an ordinary error, and the connection goes on") {
  World world;
  Conversation client(world);
  client.handshake();
  const auto error = client.ask(wire::Op::nar_from_path, wire::NarFromPath{world.hidden});
  REQUIRE(error);
  CHECK(error->find("path-visible") != std::string::npos);
  CHECK(client.ask(wire::Op::collect_garbage, wire::CollectGarbage{}).has_value());
  // The body of a refused upload is read away.
  CHECK(client
            .upload(wire::Op::add_to_store, {"name", "text:sha256", {world.hidden}, false},
                    std::string(200'000, 'x'))
            .has_value());
  CHECK_FALSE(client.ask(wire::Op::is_valid_path, wire::IsValidPath{world.visible}).has_value());
  CHECK(client.from().boolean());
  CHECK(world.trace.count("connect upstream") == 0);
  CHECK(world.ledger.verdicts() == std::vector<std::string>{"deny", "deny", "deny", "answer"});
}

TEST_CASE("what is added is held and grafted before the reply names it, and its info is censored") {
  World world;
  Conversation client(world);
  client.handshake();
  REQUIRE_FALSE(client.upload(wire::Op::add_to_store,
                              {"text", "text:sha256", {world.visible}, false}, "content"));
  const auto path = client.from().path();
  const auto info = wire::read_path_info(client.from());
  CHECK(path == world.upstream_state.added);
  CHECK_FALSE(info.deriver);
  CHECK(info.registration_time == 0);
  CHECK(info.signatures.empty());
  CHECK_FALSE(info.ultimate);
  CHECK(info.references == wire::StorePathSet{world.visible});
  CHECK(world.upstream_state.uploaded == "content");
  const auto added = world.trace.index("add text");
  const auto rooted = world.trace.index("temp root " + path.base());
  const auto granted = world.trace.index("grant " + path.base());
  CHECK(added < rooted);
  CHECK(rooted < granted);
  CHECK(world.is_owed(path));
  REQUIRE_FALSE(client.ask(wire::Op::is_valid_path, wire::IsValidPath{path}));
  CHECK(client.from().boolean());
}

TEST_CASE("a derivation that names a hidden path never reaches upstream") {
  World world;
  Conversation client(world);
  client.handshake();
  Derivation derivation;
  derivation.outputs["out"] = {policy::fake_path("out"), "", ""};
  derivation.input_sources = {world.hidden};
  derivation.platform = "x";
  derivation.builder = "/bin/sh";
  const auto text = derivation.unparse(world.config.layout);
  for (const auto& references : {wire::StorePathSet{}, wire::StorePathSet{world.visible}}) {
    const auto error =
        client.upload(wire::Op::add_to_store, {"x.drv", "text:sha256", references, false}, text);
    REQUIRE(error);
    CHECK(error->find("derivation-inputs") != std::string::npos);
  }
  const auto error =
      client.ask(wire::Op::add_text_to_store, wire::AddTextToStore{"x.drv", text, {}});
  REQUIRE(error);
  CHECK(error->find("derivation-inputs") != std::string::npos);
  CHECK(
      client.upload(wire::Op::add_to_store, {"x.drv", "text:sha256", {}, false}, "not a derivation")
          .has_value());
  CHECK(world.trace.count("connect upstream") == 0);
}

TEST_CASE("a session may ask so many operations, over all its connections") {
  World world;
  world.config.limits.operations = 3;
  for (int i = 0; i < 2; ++i) {
    Conversation client(world);
    client.handshake();
    REQUIRE_FALSE(client.ask(wire::Op::is_valid_path, wire::IsValidPath{world.visible}));
  }
  Conversation client(world);
  client.handshake();
  REQUIRE_FALSE(client.ask(wire::Op::is_valid_path, wire::IsValidPath{world.visible}));
  CHECK(client.from().boolean());
  CHECK_FALSE(world.session.condemned());
  CHECK_THROWS_AS(client.ask(wire::Op::is_valid_path, wire::IsValidPath{world.visible}),
                  ConnectionOver);
  CHECK(world.session.condemned());
  CHECK(world.boundary.reason.find("limits.operations") != std::string::npos);
}

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
  }
}

TEST_CASE("a failure that is the host's ends the sandbox, not the question") {
  World world;
  world.boundary.grants = false;
  Conversation client(world);
  client.handshake();
  CHECK_THROWS_AS(
      client.upload(wire::Op::add_to_store, {"text", "text:sha256", {}, false}, "content"),
      ConnectionOver);
  CHECK(world.trace.count("condemn") == 1);
  CHECK(world.session.condemned());
  CHECK_FALSE(world.session.visible(world.upstream_state.added));
}

TEST_CASE("a lost daemon ends the sandbox") {
  World world;
  world.upstream_state.reachable = false;
  Conversation client(world);
  client.handshake();
  CHECK_THROWS_AS(
      client.upload(wire::Op::add_to_store, {"text", "text:sha256", {}, false}, "content"),
      ConnectionOver);
  CHECK(world.trace.count("condemn") == 1);
}

TEST_CASE("bytes that are not the protocol end the connection with a reason in the ledger") {
  for (const std::string what : {"garbage", "oversized", "unknown", "truncated"}) {
    CAPTURE(what);
    World world;
    {
      Conversation client(world);
      if (what != "garbage") client.handshake();
      if (what == "garbage") client.to().raw(std::string(64, 'A'));
      if (what == "oversized") {
        client.to().u64(8);
        client.to().u64(std::uint64_t{1} << 60);
      }
      if (what == "unknown") client.to().u64(4711);
      if (what == "truncated") {
        client.to().u64(8);
        client.to().u64(10);
      }
      client.to().flush();
    }
    REQUIRE(world.ledger.verdicts().size() == 1);
    CHECK(world.ledger.verdicts().front() == "broken");
    CHECK_FALSE(world.session.condemned());
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
      [&](const Builds::Ending& ending) { (void)world.session.condemn(ending.reason); });
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
  CHECK_THAT(world.ledger.operations.front().reason, Catch::Contains("limits.starvation"));
}

TEST_CASE("a build that was tried again and succeeded tells nothing of the first attempt's end") {
  for (const bool succeeds : {true, false}) {
    World world;
    const auto derivation = world.add_derivation("retried");
    world.upstream_state.status =
        succeeds ? wire::BuildStatus::built : wire::BuildStatus::permanent_failure;
    world.upstream_state.while_building = [&](const LogRelay&, int) {
      world.builds.condemned(derivation, "a limit of the host's");
    };
    Conversation client(world);
    client.handshake();
    const wire::BuildPaths request{{{derivation, true, {}}}, wire::BuildMode::normal};
    if (succeeds)
      CHECK_FALSE(client.ask(wire::Op::build_paths, request));
    else
      CHECK_THROWS_AS(client.ask(wire::Op::build_paths, request), ConnectionOver);
    CHECK(world.session.condemned() == !succeeds);
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

TEST_CASE("nothing is granted that no hook would settle") {
  for (const auto* settings : {"", "post-build-hook =\n", "pre-build-hook = /bin/true\n"}) {
    CAPTURE(settings);
    World world;
    std::ofstream(world.config.layout.conf_dir + "/nix.conf") << settings;
    const auto path = policy::fake_path("given");
    world.upstream_state.infos[path] = {};
    CHECK_THROWS_WITH(world.session.grant({path}, "added"),
                      Catch::Contains("has no post-build-hook"));
    CHECK_FALSE(world.session.visible(path));
    CHECK(world.trace.count("grant") == 0);
    CHECK_FALSE(world.is_owed(path));
  }
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
    }
  }
}
