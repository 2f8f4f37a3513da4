// How many connections to upstream a session makes, and what travels over one that had a client.
#include "tests/unit/mediator/conversation.hpp"

using namespace airlock;
using namespace airlock::fakes;

namespace {

/// A client that adds something, after these options.
void add_something(World& world, std::optional<std::uint64_t> verbosity) {
  Conversation client(world);
  client.handshake();
  if (verbosity) {
    wire::SetOptions options;
    options.verbosity = *verbosity;
    REQUIRE_FALSE(client.ask(wire::Op::set_options, options));
  }
  REQUIRE_FALSE(client.upload(wire::Op::add_to_store, {"text", "text:sha256", {}, false}, "text"));
  (void)client.from().path();
  (void)wire::read_path_info(client.from());
}

/// In the middle of an upload.
void leave_in_the_middle(World& world, std::uint64_t verbosity) {
  Conversation client(world);
  client.handshake();
  wire::SetOptions options;
  options.verbosity = verbosity;
  REQUIRE_FALSE(client.ask(wire::Op::set_options, options));
  client.to().u64(static_cast<std::uint64_t>(wire::Op::add_to_store));
  wire::AddToStore{"cut", "text:sha256", {}, false}.encode(client.to(), world.config.layout,
                                                           wire::newest);
  client.to().u64(100);
  client.to().raw("less than that");
  client.to().flush();
}

/// Each is given options once, but for the one that holds the session's roots.
std::size_t connections(const World& world) {
  return world.trace.count("options");
}

}  // namespace

TEST_CASE("a client goes on over the connection to upstream that one before it has left") {
  World world;
  for (int i = 0; i < 3; ++i) add_something(world, 4);
  CHECK(connections(world) == 1);
  CHECK(world.trace.count("connect upstream") == 1);
}

TEST_CASE("what was set for one client does not hold for another") {
  World world;
  add_something(world, 4);
  add_something(world, 5);
  CHECK(connections(world) == 2);
  CHECK(world.trace.count("options 5") == 1);
  add_something(world, std::nullopt);
  CHECK(connections(world) == 3);
}

TEST_CASE("a connection that was given more than one client's options ends with its client") {
  World world;
  {
    Conversation client(world);
    client.handshake();
    REQUIRE_FALSE(
        client.upload(wire::Op::add_to_store, {"text", "text:sha256", {}, false}, "text"));
    (void)client.from().path();
    (void)wire::read_path_info(client.from());
    wire::SetOptions options;
    options.verbosity = 4;
    REQUIRE_FALSE(client.ask(wire::Op::set_options, options));
  }
  add_something(world, 4);
  CHECK(connections(world) == 3);  // the first of them was given options twice
}

TEST_CASE("a daemon that is gone since is noticed before anything is asked of it") {
  World world;
  add_something(world, 4);
  world.upstream_state.restarted = true;
  add_something(world, 4);
  CHECK(connections(world) == 2);
  CHECK_FALSE(world.session.condemned());
}

TEST_CASE("a client that leaves in the middle of something leaves no connection") {
  World world;
  add_something(world, 4);
  leave_in_the_middle(world, 4);
  add_something(world, 4);
  CHECK(connections(world) == 2);
}

TEST_CASE("what was added is held on before the connection that added it is closed") {
  World world;
  add_something(world, 4);
  const auto held = "temp root " + world.upstream_state.added.base();
  CHECK(world.trace.count(held) == 0);
  SECTION("for its client has left in the middle of something") {
    leave_in_the_middle(world, 4);
  }
  SECTION("for the next client wants other options") {
    add_something(world, 5);
  }
  SECTION("for nix-daemon was restarted") {
    world.upstream_state.restarted = true;
    add_something(world, 4);
  }
  CHECK(world.trace.count(held) == 1);
  CHECK(world.trace.index(held) < world.trace.index("close upstream"));
}
