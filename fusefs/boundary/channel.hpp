#pragma once

#include <optional>
#include <string>
#include <tl/expected.hpp>
#include <vector>

#include "fusefs/boundary/fd.hpp"
#include "fusefs/boundary/message.hpp"

namespace airlock::boundary {

struct Received {
  Message message;
  Fd descriptor;  ///< not open when the message carried none
};

/// One end of a SOCK_SEQPACKET connection that carries Messages, at most one descriptor each.
/// send and receive may be called from different threads at the same time; two sends (or two
/// receives) at once are atomic per message. Blocking.
class Channel {
 public:
  explicit Channel(Fd socket) : socket_(std::move(socket)) {}

  /// Connects to a listening socket. The error is one sentence that names the path.
  [[nodiscard]] static tl::expected<Channel, std::string> connect(const std::string& path);

  /// false when the peer is gone. descriptor is not consumed; -1 for none.
  [[nodiscard]] bool send(const Message& message, int descriptor = -1);

  /// Waits for the next message. Without a value the peer is gone (an empty error) or sent
  /// something that is not a Message (one sentence); both end the connection. Descriptors that came
  /// with no Message are closed with this.
  [[nodiscard]] tl::expected<Received, std::string> receive();

  [[nodiscard]] int fd() const { return socket_.get(); }

 private:
  Fd socket_;
  std::vector<Fd> refused_;
};

/// Where the sockets are, below the run folder (default /run).
struct SocketPaths {
  std::string run = "/run";
  [[nodiscard]] std::string private_folder() const { return run + "/airlock"; }  ///< 0700 root
  [[nodiscard]] std::string mount_point() const { return run + "/airlock/fs"; }
  [[nodiscard]] std::string announce() const { return run + "/airlock/announce"; }  ///< root only
  /// 0750 root:airlock; holds the one socket that airlockd may connect to.
  [[nodiscard]] std::string mediator_folder() const { return run + "/airlockd"; }
  [[nodiscard]] std::string mediator() const { return run + "/airlockd/control"; }
  /// airlock-fetchd's; holds the one socket at which airlockd asks for what lock files name.
  [[nodiscard]] std::string fetch_folder() const { return run + "/airlock-fetch"; }
  [[nodiscard]] std::string fetch() const { return run + "/airlock-fetch/socket"; }
};

}  // namespace airlock::boundary
