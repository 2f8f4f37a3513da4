// Speaks the worker protocol byte by byte, also wrongly: what no Nix client would send. It runs
// inside sandboxes, so it is linked statically. Exit status: 0 the operation succeeded, 1 the
// server answered with an error (printed), 2 the server ended the connection (why is printed).
#include "tests/e2e/wire_client.hpp"

namespace {

using namespace airlock;
using namespace airlock::tests;

wire::StorePathSet paths_from(Client& client, const Arguments& arguments, std::size_t first) {
  wire::StorePathSet paths;
  for (auto i = first; i < arguments.size(); ++i) paths.insert(parse(client.layout, arguments[i]));
  return paths;
}

/// add NAME METHOD FILE [REFERENCE…]: AddToStore with the file's bytes as they are.
void add(Client& client, const Arguments& arguments) {
  client.handshake();
  client.upload(
      wire::AddToStore{arguments.at(0), arguments.at(1), paths_from(client, arguments, 3), false},
      read_file(arguments.at(2)));
  std::cout << client.layout.print(client.reader.path()) << std::endl;
}

/// archive PATH ADDRESS NAR HASH [REFERENCE…]: AddToStoreNar, whatever the archive holds.
void archive(Client& client, const Arguments& arguments) {
  client.handshake();
  const auto nar = read_file(arguments.at(2));
  wire::AddToStoreNar request{parse(client.layout, arguments.at(0)), {}, false, false};
  request.info.content_address = arguments.at(1);
  request.info.nar_hash = arguments.at(3);
  request.info.nar_size = nar.size();
  request.info.references = paths_from(client, arguments, 4);
  client.upload(request, nar);
  std::cout << "added" << std::endl;
}

/// build DERIVATION: BuildPaths of all its outputs.
void build(Client& client, const Arguments& arguments) {
  client.handshake();
  client.send(wire::BuildPaths{{{parse(client.layout, arguments.at(0)), true, {}}}});
  client.finish();
  std::cout << "built" << std::endl;
}

/// question NUMBER PATH: any operation whose argument is one path; succeeds unless refused.
void question(Client& client, const Arguments& arguments) {
  client.handshake();
  client.writer.u64(std::stoull(arguments.at(0)));
  client.writer.string(arguments.at(1));
  client.finish();
  std::cout << "answered " << client.reader.u64() << std::endl;
}

void garbage(Client& client, const Arguments&) {
  for (int i = 0; i < 64; ++i) client.writer.u64(0x4141414141414141u);
  client.expect_end();
}

void oversized(Client& client, const Arguments&) {
  client.handshake();
  client.writer.u64(static_cast<std::uint64_t>(wire::Op::add_text_to_store));
  client.writer.string("name");
  client.writer.u64(std::uint64_t{1} << 60);
  client.expect_end();
}

void truncated(Client& client, const Arguments&) {
  client.handshake();
  client.writer.u64(static_cast<std::uint64_t>(wire::Op::add_text_to_store));
  client.writer.u64(1000);
  client.writer.raw("only this");
  client.expect_end();
}

void unknown(Client& client, const Arguments&) {
  client.handshake();
  client.writer.u64(4711);
  client.expect_end();
}

/// hold FILE: stays connected, asking now and then, until the file appears; then asks once more.
void hold(Client& client, const Arguments& arguments) {
  client.handshake();
  for (bool last = false;; last = std::ifstream(arguments.at(0)).good()) {
    client.send(wire::QueryAllValidPaths{});
    client.finish();
    (void)client.reader.paths();
    if (last) break;
    ::usleep(50'000);
  }
  std::cout << "still served" << std::endl;
}

}  // namespace

int main(int argc, char** argv) {
  return airlock::tests::run_command(argc, argv,
                                     {{"add", add},
                                      {"archive", archive},
                                      {"build", build},
                                      {"question", question},
                                      {"garbage", garbage},
                                      {"oversized", oversized},
                                      {"truncated", truncated},
                                      {"unknown", unknown},
                                      {"hold", hold}});
}
