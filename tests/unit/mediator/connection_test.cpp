// Whole connections against recording fakes: what is asked of upstream and of the boundary, in
// which order, and what the client reads.
#include "tests/unit/core/nar_tree.hpp"
#include "tests/unit/mediator/conversation.hpp"

using namespace airlock;
using namespace airlock::fakes;

TEST_CASE("a caller that is not of the sandbox gets nothing") {
  World world;
  world.boundary.verified = false;
  Conversation client(world);
  CHECK_THROWS_AS(client.handshake(), ConnectionOver);
  CHECK(world.trace.count("verify") == 1);
  CHECK(world.ledger.rules("broken") == std::vector<std::string>{"caller"});
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
  const auto granted = world.trace.index("grant " + path.base());
  CHECK(added < granted);
  CHECK(world.is_owed(path));
  CHECK(world.trace.count("close upstream") == 0);  // the connection that added it holds it
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

TEST_CASE("a derivation is text by SHA-256, in every operation that adds one") {
  World world;
  const auto& layout = world.config.layout;
  Derivation derivation;
  derivation.outputs["out"] = {policy::fake_path("out"), "", ""};
  derivation.platform = "x";
  derivation.builder = "/bin/sh";
  derivation.environment = {{"name", "x"}, {"out", layout.print(policy::fake_path("out"))}};
  const auto text = derivation.unparse(layout);
  const auto archive = test::nar({test::Tree::File{text}});
  Conversation client(world);
  client.handshake();
  /// Was it refused as a derivation that is no text?
  const auto refused = [&](const auto& request, const std::string& body) {
    const auto refusal = client.upload(request, body);
    if (!refusal)
      (void)std::remove_cvref_t<decltype(request)>::Reply::decode(client.from(), wire::newest);
    return refusal && refusal->find("(derivation-is-text)") != std::string::npos;
  };
  for (const std::string method : {"text:sha256", "fixed:md5", "fixed:sha1", "fixed:sha256",
                                   "fixed:sha512", "fixed:r:sha1", "fixed:r:sha256"}) {
    CAPTURE(method);
    const bool taken = method == "text:sha256";
    const auto how = AddMethod::parse(method).value();
    const auto& content = how.method == IngestionMethod::recursive ? archive : text;
    CHECK(refused(wire::AddToStore{"x.drv", method, {}, false}, content) == !taken);
    Hasher hasher(how.algorithm);
    hasher.update(content);
    const ContentAddress address{how.method, hasher.finish()};
    wire::AddToStoreNar item{path_of(layout, "x.drv", address, {}).value(), {}, false, false};
    item.info.nar_hash = sha256(archive).base16();
    item.info.nar_size = archive.size();
    item.info.content_address = address.print();
    CHECK(refused(item, archive) == !taken);
    CHECK(world.session.visible(item.path) == taken);
  }
  CHECK(world.trace.count("add ") == 2);
  // Under any other name Nix does not read it as a derivation.
  CHECK_FALSE(client.upload(wire::AddToStore{"x.drv.txt", "fixed:sha1", {}, false}, text));
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
  CHECK(world.ledger.rules("condemn") == std::vector<std::string>{"limits"});
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
  CHECK(world.ledger.rules("condemn") == std::vector<std::string>{"host-failed"});
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
  CHECK(world.ledger.rules("condemn") == std::vector<std::string>{"host-failed"});
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
    CHECK(world.ledger.rules("broken") == std::vector<std::string>{"well-formed"});
    CHECK_FALSE(world.session.condemned());
  }
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

TEST_CASE("what breaks the protocol is an operation like any other, for the limit of them") {
  for (const std::string what : {"garbage", "unknown"}) {
    CAPTURE(what);
    World world;
    world.config.limits.operations = 2;
    for (int i = 0; i < 3; ++i) {
      CHECK_FALSE(world.session.condemned());
      Conversation client(world);
      if (what == "unknown") client.handshake();
      client.to().raw(std::string(64, 'A'));
      client.to().flush();
    }
    CHECK(world.session.condemned());
    CHECK(world.ledger.verdicts() == std::vector<std::string>{"broken", "broken", "condemn"});
    CHECK(world.boundary.reason.find("limits.operations") != std::string::npos);
  }
  World world;  // one that is malformed counts once
  world.config.limits.operations = 2;
  for (int i = 0; i < 2; ++i) {
    Conversation client(world);
    client.handshake();
    client.to().u64(static_cast<std::uint64_t>(wire::Op::query_path_info));
    client.to().u64(std::uint64_t{1} << 60);
    client.to().flush();
  }
  CHECK_FALSE(world.session.condemned());
}
