// Speaks the worker protocol byte by byte, also wrongly: what no Nix client would send. It runs
// inside sandboxes, so it is linked statically. Exit status: 0 the operation succeeded, 1 the
// server answered with an error (printed), 2 the server ended the connection (why is printed).
#include <sys/socket.h>
#include <sys/un.h>

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <sstream>
#include <string>
#include <vector>

#include "daemon/wire/fd_stream.hpp"
#include "daemon/wire/handshake.hpp"
#include "daemon/wire/log.hpp"
#include "daemon/wire/messages.hpp"
#include "fusefs/boundary/fd.hpp"

namespace {

using namespace airlock;

constexpr std::chrono::seconds deadline{60};

class Client {
 public:
  explicit Client(const std::string& path)
      : fd_(connect(path)),
        source_(fd_.get(), deadline),
        sink_(fd_.get(), deadline),
        reader(source_, layout, {}),
        writer(sink_, layout) {}

  void handshake() {
    version_ = wire::offer_handshake(reader, writer).version;
    finish();
  }
  void start(wire::Op op) { writer.u64(static_cast<std::uint64_t>(op)); }

  /// Reads up to the end of the operation; an error ends the program.
  void finish() {
    writer.flush();
    for (;;) {
      const auto message = wire::read_log_message(reader, version_);
      if (std::holds_alternative<wire::Last>(message)) return;
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
  static Fd connect(const std::string& path) {
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

  Fd fd_;
  wire::FdSource source_;
  wire::FdSink sink_;
  wire::Version version_ = wire::newest;

 public:
  wire::Reader reader;
  wire::Writer writer;
};

std::string read_file(const std::string& name) {
  std::ifstream file(name, std::ios::binary);
  if (!file) {
    std::cerr << "cannot read " << name << std::endl;
    std::exit(3);
  }
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

StorePath parse(const StoreLayout& layout, const std::string& text) {
  auto path = layout.parse(text);
  if (!path) {
    std::cerr << path.error() << std::endl;
    std::exit(3);
  }
  return *path;
}

/// add NAME METHOD FILE [REFERENCE…]: AddToStore with the file's bytes as they are.
void add(Client& client, const std::vector<std::string>& arguments) {
  client.handshake();
  wire::AddToStore request{arguments.at(0), arguments.at(1), {}, false};
  for (std::size_t i = 3; i < arguments.size(); ++i)
    request.references.insert(parse(client.layout, arguments[i]));
  client.start(wire::Op::add_to_store);
  request.encode(client.writer, client.layout, wire::newest);
  wire::FramedSink frames(client.writer);
  frames.write(read_file(arguments.at(2)));
  frames.finish();
  client.finish();
  std::cout << client.layout.print(client.reader.path()) << std::endl;
}

/// archive PATH ADDRESS NAR HASH [REFERENCE…]: AddToStoreNar, whatever the archive holds.
void archive(Client& client, const std::vector<std::string>& arguments) {
  client.handshake();
  const auto nar = read_file(arguments.at(2));
  wire::AddToStoreNar request{parse(client.layout, arguments.at(0)), {}, false, false};
  request.info.content_address = arguments.at(1);
  request.info.nar_hash = arguments.at(3);
  request.info.nar_size = nar.size();
  for (std::size_t i = 4; i < arguments.size(); ++i)
    request.info.references.insert(parse(client.layout, arguments[i]));
  client.start(wire::Op::add_to_store_nar);
  request.encode(client.writer, client.layout, wire::newest);
  wire::FramedSink frames(client.writer);
  frames.write(nar);
  frames.finish();
  client.finish();
  std::cout << "added" << std::endl;
}

/// build DERIVATION: BuildPaths of all its outputs.
void build(Client& client, const std::vector<std::string>& arguments) {
  client.handshake();
  client.start(wire::Op::build_paths);
  wire::write_targets(client.writer, client.layout,
                      {{parse(client.layout, arguments.at(0)), true, {}}}, wire::newest);
  client.writer.u64(0);
  client.finish();
  std::cout << "built" << std::endl;
}

/// question NUMBER PATH: any operation whose argument is one path; succeeds unless refused.
void question(Client& client, const std::vector<std::string>& arguments) {
  client.handshake();
  client.writer.u64(std::stoull(arguments.at(0)));
  client.writer.string(arguments.at(1));
  client.finish();
  std::cout << "answered " << client.reader.u64() << std::endl;
}

void garbage(Client& client, const std::vector<std::string>&) {
  for (int i = 0; i < 64; ++i) client.writer.u64(0x4141414141414141u);
  client.expect_end();
}

void oversized(Client& client, const std::vector<std::string>&) {
  client.handshake();
  client.start(wire::Op::add_text_to_store);
  client.writer.string("name");
  client.writer.u64(std::uint64_t{1} << 60);
  client.expect_end();
}

void truncated(Client& client, const std::vector<std::string>&) {
  client.handshake();
  client.start(wire::Op::add_text_to_store);
  client.writer.u64(1000);
  client.writer.raw("only this");
  client.expect_end();
}

void unknown(Client& client, const std::vector<std::string>&) {
  client.handshake();
  client.writer.u64(4711);
  client.expect_end();
}

/// hold FILE: stays connected, asking now and then, until the file appears; then asks once more.
void hold(Client& client, const std::vector<std::string>& arguments) {
  client.handshake();
  for (bool last = false;; last = std::ifstream(arguments.at(0)).good()) {
    client.start(wire::Op::query_all_valid_paths);
    client.finish();
    (void)client.reader.paths();
    if (last) break;
    ::usleep(50'000);
  }
  std::cout << "still served" << std::endl;
}

}  // namespace

int main(int argc, char** argv) {
  const std::vector<std::string> arguments(argv + 1, argv + argc);
  const std::vector<std::pair<std::string, void (*)(Client&, const std::vector<std::string>&)>>
      commands{{"add", add},
               {"archive", archive},
               {"build", build},
               {"question", question},
               {"garbage", garbage},
               {"oversized", oversized},
               {"truncated", truncated},
               {"unknown", unknown},
               {"hold", hold}};
  for (const auto& [name, command] : commands) {
    if (arguments.empty() || arguments.front() != name) continue;
    try {
      const auto* socket = std::getenv("AIRLOCK_SOCKET");
      Client client(socket != nullptr ? socket : "/nix/var/nix/daemon-socket/socket");
      command(client, {arguments.begin() + 1, arguments.end()});
      return 0;
    } catch (const ConnectionOver& over) {
      std::cout << "ended: " << over.what() << std::endl;
      return 2;
    }
  }
  std::cerr
      << "usage: raw-client add|archive|build|question|garbage|oversized|truncated|unknown|hold …"
      << std::endl;
  return 3;
}
