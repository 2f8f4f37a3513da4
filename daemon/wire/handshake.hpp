#pragma once

#include <optional>
#include <set>
#include <string>

#include "daemon/wire/codec.hpp"

namespace airlock::wire {

inline constexpr std::uint64_t client_magic = 0x6e697863;
inline constexpr std::uint64_t server_magic = 0x6478696f;

/// What a server says of itself. The one that sandboxes see is a constant: which Nix the host runs
/// does not follow from a derivation.
inline constexpr const char* announced_nix_version = "airlock";

enum class Trust { unknown = 0, trusted = 1, not_trusted = 2 };

/// The server's side up to and with the version string and the trust byte; the caller sends the
/// log messages and LAST that follow. Returns the version that holds. Throws ConnectionOver.
/// We offer no feature, so none is ever agreed.
[[nodiscard]] Version accept_handshake(Reader& from, Writer& to);

struct ServerGreeting {
  Version version;  ///< the one that holds
  std::string nix_version;
  Trust trust = Trust::unknown;
};

/// The client's side of the same. Refuses servers older than 1.34.
[[nodiscard]] ServerGreeting offer_handshake(Reader& from, Writer& to);

}  // namespace airlock::wire
