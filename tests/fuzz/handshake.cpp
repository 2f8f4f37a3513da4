// Both sides of the handshake, against any peer.
#include "daemon/wire/handshake.hpp"

#include "tests/fuzz/fuzz.hpp"

using namespace airlock;

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  fuzz::Input input(data, size);
  const bool is_server = input.byte() % 2 == 0;
  const auto own = input.version();
  StringSource source(input.rest());
  wire::Reader from(source, fuzz::layout, fuzz::caps);
  StringSink sink;
  wire::Writer to(sink, fuzz::layout);
  try {
    wire::Version agreed;
    if (is_server) {
      agreed = wire::accept_greeting(from, to, own);
      wire::finish_greeting(from, to, agreed, {});
      fuzz::require(agreed <= own, "no more is agreed than was announced");
    } else {
      const auto greeting = wire::offer_handshake(from, to);
      agreed = greeting.version;
      fuzz::require(greeting.server.nix_version.size() <= 256, "a Nix version is short");
      fuzz::require(greeting.server.trust <= wire::Trust::not_trusted, "trust is one of three");
    }
    fuzz::require(agreed >= wire::oldest && agreed <= wire::newest, "the version is one of ours");
    fuzz::require(is_server || agreed == wire::oldest || agreed >= wire::since::framed_nar,
                  "no daemon is asked to ask for uploads");
  } catch (const ConnectionOver&) {
    return 0;
  }
  return 0;
}
