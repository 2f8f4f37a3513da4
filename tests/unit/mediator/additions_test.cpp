// Several paths in one upload: what is visible of them, to whom and when.
#include "tests/unit/mediator/conversation.hpp"
#include "tests/unit/mediator/finished_paths.hpp"

using namespace airlock;
using namespace airlock::fakes;

namespace {

/// AddMultipleToStore on one connection, path by path.
class Uploading {
 public:
  Uploading(World& world, std::uint64_t count) : world_(world), client_(world) {
    client_.handshake();
    client_.to().u64(static_cast<std::uint64_t>(wire::Op::add_multiple_to_store));
    wire::AddMultipleToStore{}.encode(client_.to(), world.config.layout, wire::newest);
    frame([&](wire::Writer& to) { to.u64(count); });
  }
  void send(const wire::AddToStoreNar& item, const std::string& content) {
    frame([&](wire::Writer& to) { pack(to, item, content); });
  }
  /// Upstream was given it, and the next path is being waited for.
  bool await_added(const StorePath& path) { return world_.trace.await("add " + path.base()); }
  std::optional<std::string> finish() {
    client_.to().u64(0);
    return client_.finish();
  }

 private:
  /// wire::FramedSink waits until it has more for a frame.
  template <class Write>
  void frame(const Write& write) {
    StringSink sink;
    wire::Writer to(sink, world_.config.layout);
    write(to);
    client_.to().u64(sink.text().size());
    client_.to().raw(sink.text());
    client_.to().flush();
  }

  World& world_;
  Conversation client_;
};

struct Paths {
  explicit Paths(const World& world)
      : first(described(world.config.layout, "first", "one", {}, false)),
        second(described(world.config.layout, "second", "two", {first.path}, false)) {}
  wire::AddToStoreNar first;
  wire::AddToStoreNar second;
};

/// What AddMultipleToStore sends of one path.
std::string packed(const StoreLayout& layout, const wire::AddToStoreNar& item,
                   const std::string& archive) {
  StringSink sink;
  wire::Writer to(sink, layout);
  to.u64(1);
  to.path(item.path);
  wire::write_path_info(to, item.info);
  to.raw(archive);
  return sink.text();
}

bool is_valid(Conversation& client, const StorePath& path) {
  REQUIRE_FALSE(client.ask(wire::Op::is_valid_path, wire::IsValidPath{path}));
  return client.from().boolean();
}

}  // namespace

TEST_CASE("the paths of one upload become visible together, when it is done") {
  World world;
  const Paths paths(world);
  Conversation other(world);
  other.handshake();
  Uploading upload(world, 2);
  upload.send(paths.first, "one");
  REQUIRE(upload.await_added(paths.first.path));
  CHECK_FALSE(is_valid(other, paths.first.path));
  upload.send(paths.second, "two");  // refers to the first
  REQUIRE_FALSE(upload.finish());
  CHECK(is_valid(other, paths.first.path));
  CHECK(is_valid(other, paths.second.path));
  CHECK(world.is_owed(paths.first.path));
  CHECK(world.is_owed(paths.second.path));
  CHECK(world.trace.count("close upstream") == 0);  // the connection that added them holds them
}

TEST_CASE("an upload of which one path is refused adds none") {
  World world;
  const Paths paths(world);
  Uploading upload(world, 2);
  upload.send(paths.first, "one");
  REQUIRE(upload.await_added(paths.first.path));
  upload.send(paths.second, "other content");
  REQUIRE(upload.finish());
  Conversation other(world);
  other.handshake();
  CHECK_FALSE(is_valid(other, paths.first.path));
  CHECK_FALSE(is_valid(other, paths.second.path));
  CHECK(world.trace.count("grant") == 0);
}

TEST_CASE("a derivation may have one of the same upload among its inputs") {
  World world;
  const Paths paths(world);
  const auto& layout = world.config.layout;
  Derivation derivation;
  derivation.platform = "x";
  derivation.builder = "/bin/sh";
  derivation.input_sources = {paths.first.path};
  const ContentAddress address{IngestionMethod::flat, sha256("content")};
  derivation.outputs["out"] = {path_of(layout, "fetched", address, {}).value(), "sha256",
                               address.hash.base16()};
  derivation.environment = {{"name", "fetched"},
                            {"out", layout.print(*derivation.outputs["out"].path)}};
  const auto fetches = derivation.unparse(layout);
  const auto fetched = described(layout, "fetched.drv", fetches, {paths.first.path}, true);

  Uploading upload(world, 2);
  upload.send(paths.first, "one");
  upload.send(fetched, fetches);
  REQUIRE_FALSE(upload.finish());
  CHECK(world.session.derivation(fetched.path));
}

TEST_CASE("the limits of a session hold within an upload") {
  World world;
  const Paths paths(world);
  SECTION("paths") {
    world.config.limits.paths = 1;
  }
  SECTION("bytes") {
    world.config.limits.granted_bytes = paths.first.info.nar_size;
  }
  Uploading upload(world, 3);
  upload.send(paths.first, "one");
  REQUIRE(upload.await_added(paths.first.path));
  CHECK_FALSE(world.session.condemned());
  upload.send(paths.second, "two");
  REQUIRE(world.trace.await("condemn"));
  CHECK(world.session.condemned());
  CHECK(world.trace.count("grant") == 0);
}

TEST_CASE("the content address of a file is not that of what is more than its content") {
  // Executable it has the right content, under a plain file's path, for everybody on the host.
  struct Sent {
    test::Tree tree;
    bool taken;
  };
  const test::Tree plain{test::Tree::File{"content"}};
  for (const auto& [tree, taken] :
       {Sent{plain, true}, Sent{{test::Tree::File{"content", true}}, false},
        Sent{{test::Tree::Symlink{"content"}}, false},
        Sent{{test::Tree::Folder{{"content", plain}}}, false}}) {
    for (const auto method : {IngestionMethod::flat, IngestionMethod::text}) {
      for (const bool alone : {true, false}) {
        CAPTURE(tree.node.index(), taken, method == IngestionMethod::flat, alone);
        World world;
        const auto archive = test::nar(tree);
        const ContentAddress address{method, sha256("content")};
        wire::AddToStoreNar item{
            path_of(world.config.layout, "name", address, {}).value(), {}, false, false};
        item.info.nar_hash = sha256(archive).base16();
        item.info.nar_size = archive.size();
        item.info.content_address = address.print();
        Conversation client(world);
        client.handshake();
        const auto refusal = alone ? client.upload(item, archive)
                                   : client.upload(wire::AddMultipleToStore{},
                                                   packed(world.config.layout, item, archive));
        CHECK(refusal.value_or("add-content-addressed").find("add-content-addressed") !=
              std::string::npos);
        CHECK(refusal.has_value() == !taken);
        CHECK(world.session.visible(item.path) == taken);
        CHECK(world.trace.count("add ") == (taken ? 1 : 0));
      }
    }
  }
}

TEST_CASE("what upstream has taken counts, also when the upload is refused, and once") {
  const auto limit = GENERATE(as<std::string>{}, "paths", "bytes");
  const bool granted_later = GENERATE(true, false);
  CAPTURE(limit, granted_later);
  World world;
  const auto named = [&](const std::string& name) {
    return described(world.config.layout, name, name, {}, false);
  };
  if (limit == "paths")
    world.config.limits.paths = 2;
  else
    world.config.limits.granted_bytes = 2 * named("a").info.nar_size;
  const auto upload = [&](const std::string& first, bool good) {
    Uploading uploading(world, 2);
    uploading.send(named(first), first);
    uploading.send(named("z"), good ? "z" : "other content");
    return uploading.finish();
  };
  for (int i = 0; i < 3; ++i) CHECK(upload("a", false));
  if (granted_later)
    CHECK_FALSE(upload("a", true));
  else
    CHECK(upload("b", false));
  CHECK(world.session.visible(named("a").path) == granted_later);
  CHECK_FALSE(world.session.condemned());
  CHECK_THROWS_AS(upload("c", false), ConnectionOver);
  CHECK(world.session.condemned());
}

TEST_CASE("of an archive that turns out to be wrong counts what upstream was sent of it") {
  World world;
  world.config.limits.granted_bytes = 5 << 20;
  const auto large = [&](const std::string& name) {
    return described(world.config.layout, name, std::string(2 << 20, 'x'), {}, false);
  };
  const auto wrong = test::nar({test::Tree::File{std::string(2 << 20, 'y')}});
  Conversation client(world);
  client.handshake();
  for (const auto* name : {"first", "first", "second"}) CHECK(client.upload(large(name), wrong));
  CHECK_FALSE(world.session.condemned());
  CHECK_THROWS_AS(client.upload(large("third"), wrong), ConnectionOver);
  CHECK(world.session.condemned());
  CHECK_THAT(world.boundary.reason, Catch::Contains("limits.granted-bytes"));
}
