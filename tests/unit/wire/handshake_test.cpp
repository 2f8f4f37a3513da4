#include "daemon/wire/handshake.hpp"

#include <catch2/catch.hpp>

using namespace airlock;
using namespace airlock::wire;

namespace {

const StoreLayout layout;

std::string client_bytes(Version version) {
  StringSink sink;
  Writer to(sink, layout);
  to.u64(client_magic);
  to.u64(version.encoded());
  if (version >= Version{1, 38}) to.strings({"some-feature"});
  to.u64(0);
  to.u64(0);
  return sink.text();
}

struct Shaken {
  Version version;
  std::string reply;
};

Shaken accept(const std::string& bytes) {
  StringSource source(bytes);
  Reader from(source, layout, {});
  StringSink sink;
  Writer to(sink, layout);
  const auto version = accept_handshake(from, to);
  REQUIRE(source.rest().empty());
  return {version, sink.text()};
}

}  // namespace

TEST_CASE("the server settles on the older version and tells no more than a constant") {
  for (std::uint8_t minor = 20; minor <= 38; ++minor) {
    CAPTURE(int{minor});
    const auto shaken = accept(client_bytes({1, minor}));
    CHECK(shaken.version == Version{1, minor});
    StringSink expected;
    Writer to(expected, layout);
    to.u64(server_magic);
    to.u64(newest.encoded());
    if (minor >= 38) to.u64(0);
    if (minor >= 33) to.string("airlock");
    if (minor >= 35) to.u64(2);
    CHECK(shaken.reply == expected.text());
  }
  CHECK(accept(client_bytes({1, 99})).version == newest);
}

TEST_CASE("who is not a client, or too old, is refused with a sentence") {
  CHECK_THROWS_WITH(accept(std::string(64, 'A')), Catch::Contains("not those of a Nix client"));
  CHECK_THROWS_WITH(accept(client_bytes({1, 19})), Catch::Contains("1.19"));
  CHECK_THROWS_WITH(accept(client_bytes({2, 38})), Catch::Contains("2.38"));
}

TEST_CASE("both sides agree") {
  for (std::uint8_t minor = 20; minor <= 38; ++minor) {
    CAPTURE(int{minor});
    // What a daemon of that version sends.
    StringSink daemon;
    Writer to(daemon, layout);
    to.u64(server_magic);
    to.u64(Version{1, minor}.encoded());
    if (minor >= 38) to.strings({});
    if (minor >= 33) to.string("2.99");
    if (minor >= 35) to.u64(2);
    StringSource source(daemon.text());
    Reader from(source, layout, {});
    StringSink sent;
    Writer writer(sent, layout);
    const auto greeting = offer_handshake(from, writer);
    // A daemon that would ask for uploads piece by piece is told that this client cannot.
    const bool would_tunnel = minor == 21 || minor == 22;
    CHECK(greeting.version == (would_tunnel ? Version{1, 20} : Version{1, minor}));
    CHECK(greeting.server.nix_version == (minor >= 33 ? "2.99" : ""));
    CHECK(greeting.server.trust == (minor >= 35 ? Trust::not_trusted : Trust::unknown));
    CHECK(source.rest().empty());
  }
}
