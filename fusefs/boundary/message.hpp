#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <tl/expected.hpp>
#include <vector>

namespace airlock::boundary {

/// What crosses the boundary between root's hooks, airlock-fs and airlockd. One packet of a
/// SOCK_SEQPACKET socket is one message; descriptors travel beside it (see channel.hpp).
///
/// The vocabulary is the boundary: airlockd can name a session by number and a path by store base
/// name, and nothing else, so a captured airlockd can at most reveal a store path to a sandbox that
/// root announced, or end that sandbox.
enum class MessageType : std::uint32_t {
  // A hook of root's, or `airlock status`, to airlock-fs.
  announce = 1,  ///< strings: derivation base name. descriptor: the chroot folder (O_PATH).
  settled = 2,   ///< strings: derivation base name. Its outputs' references are registered.
  status = 3,

  // airlock-fs to the hook.
  announced = 10,  ///< strings: the absolute folder to bind at Nix's state folder.
  refused = 11,    ///< strings: one sentence for the user.
  done = 12,
  status_is = 13,  ///< strings: "connected" or "disconnected" (airlockd), number of open sessions.

  // airlock-fs to airlockd, unasked.
  session_opened = 20,   ///< session. strings: derivation base name; "static" where no hook has
                         ///< announced it. descriptor: listening socket. airlockd answers with
                         ///< session_ready or session_refused.
  session_ended = 21,    ///< session. The sandbox's first process is gone: no more requests.
  session_settled = 22,  ///< session. The post-build hook has registered what was owed.
  session_closed = 23,   ///< session. The worker is gone, or all is settled: forget it.
  welcome =
      24,  ///< The first message on a connection: whoever accepted it lives, and has ended those of
           ///< its predecessor's sandboxes that it could not adopt. A dying airlock-fs can still
           ///< have it queued. Then session_resumed for each that it has, and resumption_over.
  session_resumed = 25,  ///< session, the number a predecessor gave it. strings: derivation base
                         ///< name. descriptor: a new listening socket. airlockd answers as to
                         ///< session_opened: reveals, then session_ready with a request, which is
                         ///< answered when the sandbox sees the view again.
  resumption_over = 26,  ///< No predecessor's session that was not named lives.

  // airlockd to airlock-fs. Those with a request number are answered by succeeded or failed.
  session_ready = 30,  ///< session; request when resumed. strings: name, base, …: entries of the
                       ///< search path; if the view's nix.conf is to have settings, "" and name,
                       ///< value, … of them.
  session_refused = 31,  ///< session. strings: one sentence for the user; none when the derivation
                         ///< does not ask for a session.
  reveal = 32,           ///< session, request. strings: base names that the view lists from now on.
  grant = 33,            ///< session, request. strings: base names to list and to graft; it fails
                         ///< when one of them does, and the others may be there then.
  verify = 34,   ///< session, request. descriptor: a connected socket. Is its peer in the session?
  condemn = 35,  ///< session, request. strings: one sentence for the build log.

  // airlock-fs to airlockd, in answer to a request.
  succeeded = 40,
  failed = 41,  ///< strings: one sentence.
};

/// One message without its descriptors. session and request are 0 where the type has none.
struct Message {
  MessageType type{};
  std::uint64_t session = 0;
  std::uint64_t request = 0;
  std::vector<std::string> strings;

  bool operator==(const Message&) const = default;
};

/// A packet is never longer than this; reveal splits longer lists over several messages.
inline constexpr std::size_t max_packet = 60 * 1024;
inline constexpr std::size_t max_strings = 1024;

/// Little-endian: u32 format (1), u32 type, u64 session, u64 request, u32 count, count × (u32
/// length, bytes). Throws std::length_error when the result would be longer than max_packet.
[[nodiscard]] std::string encode(const Message& message);

/// Accepts exactly what encode produces for a known type. The error is one sentence.
[[nodiscard]] tl::expected<Message, std::string> decode(std::string_view packet);

}  // namespace airlock::boundary
