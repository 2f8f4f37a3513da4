#pragma once

// A client of the worker protocol for tests, which run it inside sandboxes as well: nothing here
// but what links statically.
#include <sys/socket.h>
#include <sys/un.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

#include "daemon/wire/fd_stream.hpp"
#include "daemon/wire/handshake.hpp"
#include "daemon/wire/log.hpp"
#include "daemon/wire/messages.hpp"
#include "fusefs/boundary/fd.hpp"

namespace airlock::tests {

inline constexpr std::chrono::seconds deadline{60};

/// One connection. What the server refuses ends the program with status 1, and its error printed.
class Client {
 public:
  /// $AIRLOCK_SOCKET, or the usual place. Speaks $AIRLOCK_PROTOCOL, "1.21" to "1.38", or the
  /// newest.
  Client()
      : fd_(connect()),
        source_(fd_.get(), deadline),
        sink_(fd_.get(), deadline),
        reader(source_, layout, {}),
        writer(sink_, layout) {}

  void handshake() {
    const auto server = wire::begin_handshake(reader, writer);
    version_ = wire::complete_handshake(reader, writer, server, offered()).version;
    finish();
  }
  [[nodiscard]] wire::Version version() const { return version_; }

  template <class Request>
  void send(const Request& request) {
    writer.u64(static_cast<std::uint64_t>(Request::number));
    request.encode(writer, layout, version_);
  }
  /// The request and its upload, in the form that the version has for it.
  template <class Request>
  void upload(const Request& request, std::string_view bytes) {
    send(request);
    switch (wire::body_of<Request>(version_)) {
      case wire::Body::framed: {
        wire::FramedSink frames(writer);
        frames.write(bytes);
        frames.finish();
        break;
      }
      case wire::Body::archive:
        writer.raw(bytes);
        break;
      case wire::Body::tunnelled:
      case wire::Body::none:
        pending_ = bytes;
        break;
    }
    finish();
  }

  /// Reads up to the end of the operation, prints what is logged on the way, and answers requests
  /// for pieces of an upload.
  void finish() {
    writer.flush();
    for (;;) {
      const auto message = wire::read_log_message(reader, version_);
      if (std::holds_alternative<wire::Last>(message)) return;
      if (const auto* line = std::get_if<wire::LogLine>(&message)) std::cout << line->text;
      if (const auto* request = std::get_if<wire::ReadRequest>(&message)) send_piece(request->most);
      if (const auto* error = std::get_if<wire::Error>(&message)) {
        std::cout << "error: " << error->message << std::endl;
        std::exit(1);
      }
    }
  }
  /// Sends nothing more and waits for the server to end it.
  [[noreturn]] void expect_end() {
    writer.flush();
    ::shutdown(fd_.get(), SHUT_WR);
    finish();
    std::cout << "the server went on" << std::endl;
    std::exit(0);
  }

  StoreLayout layout = StoreLayout::from_environment();

 private:
  static Fd connect() {
    const auto* named = std::getenv("AIRLOCK_SOCKET");
    const std::string path = named != nullptr ? named : "/nix/var/nix/daemon-socket/socket";
    Fd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    path.copy(address.sun_path, sizeof address.sun_path - 1);
    if (::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
      std::perror("connect");
      std::exit(2);
    }
    return fd;
  }
  static wire::Version offered() {
    const auto* wanted = std::getenv("AIRLOCK_PROTOCOL");
    if (wanted == nullptr) return wire::newest;
    return {1, static_cast<std::uint8_t>(std::stoi(std::string(wanted).substr(2)))};
  }
  void send_piece(std::uint64_t most) {
    const auto piece = pending_.substr(0, most);
    pending_.remove_prefix(piece.size());
    writer.string(piece);
    writer.flush();
  }

  Fd fd_;
  wire::FdSource source_;
  wire::FdSink sink_;
  wire::Version version_ = wire::newest;
  std::string_view pending_;

 public:
  wire::Reader reader;
  wire::Writer writer;
};

inline std::string read_file(const std::string& name) {
  std::ifstream file(name, std::ios::binary);
  if (!file) {
    std::cerr << "cannot read " << name << std::endl;
    std::exit(3);
  }
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

inline StorePath parse(const StoreLayout& layout, const std::string& text) {
  auto path = layout.parse(text);
  if (!path) {
    std::cerr << path.error() << std::endl;
    std::exit(3);
  }
  return *path;
}

using Arguments = std::vector<std::string>;
struct Command {
  const char* name;
  void (*run)(Client& client, const Arguments& arguments);
};

/// Runs the command that the first word names; returns the exit status.
inline int run_command(int argc, char** argv, const std::vector<Command>& commands) {
  const Arguments arguments(argv + 1, argv + argc);
  for (const auto& command : commands) {
    if (arguments.empty() || arguments.front() != command.name) continue;
    try {
      Client client;
      command.run(client, {arguments.begin() + 1, arguments.end()});
      return 0;
    } catch (const ConnectionOver& over) {
      std::cout << "ended: " << over.what() << std::endl;
      return 2;
    }
  }
  std::cerr << "usage: " << argv[0];
  for (const auto& command : commands) std::cerr << ' ' << command.name;
  std::cerr << " ..." << std::endl;
  return 3;
}

}  // namespace airlock::tests
