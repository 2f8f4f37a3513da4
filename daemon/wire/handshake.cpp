#include "daemon/wire/handshake.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace airlock::wire {

namespace {

Version read_version(Reader& from, const char* who) {
  const auto version = Version::decode(from.u32("a protocol version"));
  if (version.major != newest.major || version < oldest)
    throw ConnectionOver(fmt::format("{} speaks protocol {}, airlock speaks {} to {}", who,
                                     version.print(), oldest.print(), newest.print()));
  return std::min(version, newest);
}

void drop_features(Reader& from) {
  for (auto n = from.count(); n > 0; --n) (void)from.string(256, "a feature name");
}

}  // namespace

Version accept_greeting(Reader& from, Writer& to, Version announced) {
  if (from.u64() != client_magic)
    throw ConnectionOver("the first bytes are not those of a Nix client");
  to.u64(server_magic);
  to.u64(announced.encoded());
  to.flush();
  const auto version = std::min(read_version(from, "the client"), announced);
  if (version >= since::features) {
    // Offering none, the intersection is empty whatever the client has.
    drop_features(from);
    to.u64(0);
    to.flush();
  }
  return version;
}

void finish_greeting(Reader& from, Writer& to, Version version, const ServerIdentity& self) {
  if (from.u64() != 0) (void)from.u64();  // CPU affinity, obsolete
  (void)from.u64();                       // reserve space, obsolete
  if (version >= since::nix_version) to.string(self.nix_version);
  if (version >= since::trust) to.u64(static_cast<std::uint64_t>(self.trust));
}

Version accept_handshake(Reader& from, Writer& to) {
  const auto version = accept_greeting(from, to, newest);
  finish_greeting(from, to, version, {});
  return version;
}

Version begin_handshake(Reader& from, Writer& to) {
  to.u64(client_magic);
  to.flush();
  if (from.u64() != server_magic)
    throw ConnectionOver("what answers at the upstream socket is not a Nix daemon");
  return read_version(from, "nix-daemon");
}

ServerGreeting complete_handshake(Reader& from, Writer& to, Version server, Version offered) {
  ServerGreeting greeting{std::min(server, offered)};
  to.u64(offered.encoded());
  if (greeting.version >= since::features) {
    to.u64(0);
    to.flush();
    drop_features(from);
  }
  to.u64(0);  // no CPU affinity
  to.u64(0);  // no reserve space
  to.flush();
  if (greeting.version >= since::nix_version)
    greeting.server.nix_version = from.string(256, "the Nix version");
  if (greeting.version >= since::trust) {
    const auto trust = from.u64();
    if (trust > 2) throw ConnectionOver("nix-daemon sent an unknown trust value");
    greeting.server.trust = static_cast<Trust>(trust);
  }
  return greeting;
}

ServerGreeting offer_handshake(Reader& from, Writer& to) {
  const auto server = begin_handshake(from, to);
  const bool would_tunnel = server >= since::tunnelled_nar && server < since::framed_nar;
  return complete_handshake(from, to, server, would_tunnel ? oldest : newest);
}

}  // namespace airlock::wire
