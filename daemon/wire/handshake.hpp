#pragma once

#include <string>

#include "daemon/wire/codec.hpp"

namespace airlock::wire {

inline constexpr std::uint64_t client_magic = 0x6e697863;
inline constexpr std::uint64_t server_magic = 0x6478696f;

enum class Trust { unknown = 0, trusted = 1, not_trusted = 2 };

/// What a server says of itself. Sandboxes see a constant: which Nix the host runs does not follow
/// from a derivation.
struct ServerIdentity {
  std::string nix_version = "airlock";
  Trust trust = Trust::not_trusted;
};

struct ServerGreeting {
  Version version;  ///< the one that holds
  ServerIdentity server{{}, Trust::unknown};
};

// All of these throw ConnectionOver. No feature is ever offered by either side, so none is agreed.

/// The server's side, up to and with the trust byte; the caller sends the log messages and LAST
/// that follow. Returns the version that holds.
[[nodiscard]] Version accept_handshake(Reader& from, Writer& to);
/// The same in two steps, for a server that learns in between who it is.
[[nodiscard]] Version accept_greeting(Reader& from, Writer& to, Version announced);
void finish_greeting(Reader& from, Writer& to, Version version, const ServerIdentity& self);

/// The client's side of the same. Offers a server of 1.21 or 1.22 no more than 1.20 (see oldest).
[[nodiscard]] ServerGreeting offer_handshake(Reader& from, Writer& to);
/// The same in two steps: first the server's own version, at most newest; then what is offered.
[[nodiscard]] Version begin_handshake(Reader& from, Writer& to);
[[nodiscard]] ServerGreeting complete_handshake(Reader& from, Writer& to, Version server,
                                                Version offered);

}  // namespace airlock::wire
