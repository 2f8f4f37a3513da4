#include "daemon/wire/handshake.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace airlock::wire {

namespace {

constexpr Version feature_exchange{1, 38};
constexpr Version trust_byte{1, 35};

Version read_version(Reader& from, const char* who) {
  const auto version = Version::decode(from.u32("a protocol version"));
  if (version.major != newest.major || version < oldest)
    throw ConnectionOver(fmt::format("{} speaks protocol {}, airlock speaks {} to {}", who,
                                     version.print(), oldest.print(), newest.print()));
  return std::min(version, newest);
}

}  // namespace

Version accept_handshake(Reader& from, Writer& to) {
  if (from.u64() != client_magic)
    throw ConnectionOver("the first bytes are not those of a Nix client");
  to.u64(server_magic);
  to.u64(newest.encoded());
  to.flush();
  const auto version = read_version(from, "the client");
  if (version >= feature_exchange) {
    // The client's features are read and dropped: offering none, the intersection is empty.
    for (auto n = from.count(); n > 0; --n) (void)from.string(256, "a feature name");
    to.u64(0);
    to.flush();
  }
  if (from.u64() != 0) (void)from.u64();  // CPU affinity, obsolete
  (void)from.u64();                       // reserve space, obsolete
  to.string(announced_nix_version);
  if (version >= trust_byte) to.u64(static_cast<std::uint64_t>(Trust::not_trusted));
  return version;
}

ServerGreeting offer_handshake(Reader& from, Writer& to) {
  to.u64(client_magic);
  to.u64(newest.encoded());
  to.flush();
  if (from.u64() != server_magic)
    throw ConnectionOver("what answers at the upstream socket is not a Nix daemon");
  ServerGreeting greeting;
  greeting.version = read_version(from, "nix-daemon");
  if (greeting.version >= feature_exchange) {
    to.u64(0);
    to.flush();
    for (auto n = from.count(); n > 0; --n) (void)from.string(256, "a feature name");
  }
  to.u64(0);  // no CPU affinity
  to.u64(0);  // no reserve space
  to.flush();
  greeting.nix_version = from.string(256, "the Nix version");
  if (greeting.version >= trust_byte) {
    const auto trust = from.u64();
    if (trust > 2) throw ConnectionOver("nix-daemon sent an unknown trust value");
    greeting.trust = static_cast<Trust>(trust);
  }
  return greeting;
}

}  // namespace airlock::wire
