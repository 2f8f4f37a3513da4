#pragma once

#include <optional>
#include <string>

#include "daemon/config/config.hpp"
#include "daemon/core/nar.hpp"
#include "daemon/mediator/passing_upload.hpp"
#include "daemon/wire/fd_stream.hpp"
#include "daemon/wire/handshake.hpp"
#include "daemon/wire/log.hpp"
#include "daemon/wire/upload.hpp"
#include "fusefs/boundary/fd.hpp"

namespace airlock {

/// The profile `observe`: everything that a client sends, once it was parsed, is sent to the real
/// daemon, and everything that the daemon answers, once it was parsed, to the client. Both sides
/// speak the same version, so nothing is translated and nothing is lost.
///
/// One client's connection and its upstream, on one thread. Throws ConnectionOver when either side
/// is over: there is no sandbox to be kept from learning of it.
class Passage {
 public:
  /// Connects to the daemon. client: the client's socket, to notice that it hangs up.
  Passage(const Config& config, int client, wire::Reader& from_client, wire::Writer& to_client);
  Passage(const Passage&) = delete;
  Passage& operator=(const Passage&) = delete;

  /// Shakes hands with both at once and passes on who the daemon says it is, and its first words.
  /// Returns the version that holds on both sides.
  [[nodiscard]] wire::Version shake_hands();

  /// Without a value the daemon refused: refusal says how, and the client was told. `watch` looks
  /// at the upload, but for one that is tunnelled.
  template <class Request>
  [[nodiscard]] std::optional<typename Request::Reply> forward(const Request& request,
                                                               wire::Upload* upload,
                                                               const UploadWatch& watch) {
    to_daemon_.u64(static_cast<std::uint64_t>(Request::number));
    request.encode(to_daemon_, layout_, version_);
    if (upload != nullptr) send_upload(*upload, wire::body_of<Request>(version_), watch);
    to_daemon_.flush();
    if (!relay_log()) return std::nullopt;
    if constexpr (std::is_same_v<typename Request::Reply, wire::Archive>) {
      relay_archive();
      return wire::Archive{};
    } else {
      auto reply = Request::Reply::decode(from_daemon_, version_);
      reply.encode(to_client_, version_);
      to_client_.flush();
      return reply;
    }
  }
  /// The message of the last refusal.
  [[nodiscard]] const std::string& refusal() const { return refusal_; }

 private:
  void send_upload(wire::Upload& upload, wire::Body body, const UploadWatch& watch);
  /// Up to and with LAST (true) or ERROR (false).
  [[nodiscard]] bool relay_log();
  void relay_archive();

  const StoreLayout& layout_;
  NarLimits nar_limits_;
  Fd fd_;
  wire::Reader& from_client_;
  wire::Writer& to_client_;
  wire::FdSource source_;
  wire::FdSink sink_;
  wire::Reader from_daemon_;
  wire::Writer to_daemon_;
  wire::Version version_{};
  std::string refusal_;
};

}  // namespace airlock
