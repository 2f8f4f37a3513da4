// Writes what fuzzing begins with: fuzz-seeds FOLDER TESTS, where TESTS is the folder tests/.
#include <fmt/format.h>

#include <boost/filesystem.hpp>
#include <fstream>
#include <iostream>
#include <iterator>
#include <map>

#include "daemon/mediator/operations.hpp"
#include "daemon/wire/log.hpp"
#include "fusefs/boundary/message.hpp"
#include "tests/fuzz/samples.hpp"

using namespace airlock;
namespace fs = boost::filesystem;

namespace {

const StoreLayout layout;

class Seeds {
 public:
  explicit Seeds(fs::path folder) : folder_(std::move(folder)) {}
  void add(const std::string& target, const std::string& bytes) {
    fs::create_directories(folder_ / target);
    const auto name = fmt::format("seed-{:03}", ++counts_[target]);
    std::ofstream((folder_ / target / name).string(), std::ios::binary) << bytes;
  }

 private:
  fs::path folder_;
  std::map<std::string, unsigned> counts_;
};

std::string read_file(const fs::path& path) {
  std::ifstream stream(path.string(), std::ios::binary);
  return {std::istreambuf_iterator<char>(stream), {}};
}

template <class Write>
std::string bytes_of(const Write& write) {
  StringSink sink;
  wire::Writer to(sink, layout);
  write(to);
  return sink.text();
}

/// A choice that the targets take a byte for (fuzz::Input).
std::string bytes(std::initializer_list<unsigned> values) {
  std::string text;
  for (const auto value : values) text += static_cast<char>(value);
  return text;
}

std::string upload_for(wire::Op op) {
  if (op == wire::Op::add_build_log) return "a log\n";
  if (op != wire::Op::add_multiple_to_store) return fuzz::archive();
  return bytes_of([](wire::Writer& to) {
    to.u64(1);
    to.path(fuzz::archive_path());
    wire::write_path_info(to, fuzz::archive_info());
    to.raw(fuzz::archive());
  });
}

void write_upload(wire::Writer& to, wire::Body kind, const std::string& content) {
  if (kind == wire::Body::archive) to.raw(content);
  if (kind == wire::Body::tunnelled) to.string(content);
  if (kind != wire::Body::framed) return;
  wire::FramedSink frames(to);
  frames.write(content);
  frames.finish();
}

/// One operation, as a client sends it and as a daemon answers it.
struct Exchange {
  std::string client;
  std::string daemon;
};

template <class R>
Exchange exchange(wire::Version version) {
  const auto request = bytes_of([&](wire::Writer& to) {
    to.u64(static_cast<std::uint64_t>(R::number));
    fuzz::sample(fuzz::Of<R>{}).encode(to, layout, version);
    write_upload(to, wire::body_of<R>(version), upload_for(R::number));
  });
  const auto reply = bytes_of([&](wire::Writer& to) {
    if (wire::body_of<R>(version) == wire::Body::tunnelled)
      wire::write_log_message(to, wire::ReadRequest{64 * 1024}, version);
    wire::write_log_message(to, wire::LogLine{"at work\n"}, version);
    wire::write_log_message(to, wire::Last{}, version);
    if constexpr (std::is_same_v<typename R::Reply, wire::Archive>)
      to.raw(fuzz::archive());
    else
      fuzz::sample(fuzz::Of<typename R::Reply>{}).encode(to, version);
  });
  return {request, reply};
}

std::string observed(unsigned choice, std::uint8_t minor, const Exchange& said) {
  const auto length = static_cast<unsigned>(said.client.size());
  return bytes({minor - 20u, choice, length & 0xff, length >> 8 & 0xff}) + said.client +
         said.daemon;
}

void operations_of(Seeds& seeds, std::uint8_t minor) {
  const wire::Version version{1, minor};
  Exchange all;
  unsigned row = 0;
  for (const auto& operation : operations()) {
    const auto number = row++;
    if (operation.since > version) continue;
    test::for_request(operation.op, [&]<class R>() {
      const auto one = exchange<R>(version);
      const auto choice = bytes({number, minor - unsigned{operation.since.minor}});
      seeds.add("request", choice + bytes_of([&](wire::Writer& to) {
                             fuzz::sample(fuzz::Of<R>{}).encode(to, layout, version);
                           }));
      if constexpr (!std::is_same_v<typename R::Reply, wire::Archive>)
        seeds.add("reply", choice + bytes_of([&](wire::Writer& to) {
                             fuzz::sample(fuzz::Of<typename R::Reply>{}).encode(to, version);
                           }));
      seeds.add("connection", bytes({minor - 20u, 0}) + one.client);
      seeds.add("observe", observed(0, minor, one));
      if (R::number == wire::Op::import_paths) return;  // refused, and ends the connection
      all.client += one.client;
      all.daemon += one.daemon;
    });
  }
  seeds.add("connection", bytes({minor - 20u, 2}) + all.client);
  seeds.add("observe", observed(0, minor, all));
}

void messages_of(Seeds& seeds, std::uint8_t minor) {
  const wire::Version version{1, minor};
  const std::vector<wire::LogMessage> messages{
      wire::LogLine{"line\n"},
      wire::StartActivity{1, 3, 105, "building", {std::string("x"), std::uint64_t{7}}, 9},
      wire::StopActivity{1},
      wire::ActivityResult{1, 101, {std::string("a log line")}},
      wire::Last{},
      wire::Error{0, "it failed", {"while", "doing"}},
      wire::ReadRequest{512},
      wire::WriteData{"bytes"}};
  for (const auto& message : messages)
    seeds.add("log", bytes({minor - 20u}) + bytes_of([&](wire::Writer& to) {
                       wire::write_log_message(to, message, version);
                     }));
  seeds.add("build_result", bytes({minor - 20u}) + bytes_of([&](wire::Writer& to) {
                              to.string(wire::print_target(layout, fuzz::sample_targets()[0]));
                              wire::write_build_result(to, fuzz::sample_result(), version);
                            }));
  for (const auto kind : {wire::Body::framed, wire::Body::archive, wire::Body::tunnelled})
    for (unsigned way = 0; way < 3; ++way)
      seeds.add("upload",
                bytes({static_cast<unsigned>(kind) - 1, minor - 20u, way}) +
                    bytes_of([&](wire::Writer& to) { write_upload(to, kind, fuzz::archive()); }));
}

void handshakes(Seeds& seeds) {
  for (const unsigned minor : {20u, 21u, 34u, 35u, 38u}) {
    const wire::Version version{1, static_cast<std::uint8_t>(minor)};
    seeds.add("handshake", bytes({0, 18}) + bytes_of([&](wire::Writer& to) {
                             to.u64(wire::client_magic);
                             to.u64(version.encoded());
                             if (version >= wire::since::features) to.strings({"a-feature"});
                             to.u64(1);
                             to.u64(0);
                             to.u64(0);
                           }));
    seeds.add("handshake", bytes({1, 18}) + bytes_of([&](wire::Writer& to) {
                             to.u64(wire::server_magic);
                             to.u64(version.encoded());
                             if (version >= wire::since::features) to.strings({"a-feature"});
                             if (version >= wire::since::nix_version) to.string("2.26.3");
                             if (version >= wire::since::trust) to.u64(2);
                           }));
  }
}

/// A recorded client, and where the daemon speaks too, both: <name>.client and <name>.daemon.
void golden(Seeds& seeds, const fs::path& tests) {
  for (const auto& entry : fs::recursive_directory_iterator(tests / "golden")) {
    if (entry.path().extension() != ".client") continue;
    auto daemon = entry.path();
    daemon.replace_extension(".daemon");
    const Exchange recorded{read_file(entry.path()), read_file(daemon)};
    if (recorded.client.size() + recorded.daemon.size() > 8 * 1024) continue;
    seeds.add("connection", bytes({0, 1}) + recorded.client);
    seeds.add("observe", observed(1, 20, recorded));
  }
}

void core(Seeds& seeds, const fs::path& tests) {
  const auto data = tests / "unit/core/data";
  for (const auto& entry : fs::directory_iterator(data / "drv")) {
    const auto base = entry.path().filename().string();
    seeds.add("derivation", base.substr(33, base.size() - 37) + '\0' + read_file(entry.path()));
    seeds.add("store_path", base);
    seeds.add("store_path", "/nix/store/" + base);
  }
  for (const auto* name : {"file.nar", "symlink.nar", "tree.nar"})
    seeds.add("nar", bytes({16, 15, 255}) + read_file(data / name));
  const auto hash = sha256("content");
  for (const auto* method : {"text:", "fixed:", "fixed:r:", "fixed:git:"}) {
    seeds.add("content_address", std::string("name") + '\0' + method + "sha256:" + hash.nix32());
    seeds.add("content_address", std::string("name") + '\0' + method + "sha256");
  }
  seeds.add("content_address", std::string("name") + '\0' + "sha256:" + hash.base16());
  seeds.add("content_address",
            std::string(1, '\0') + "sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=");
}

void lines(Seeds& seeds) {
  const auto path = fuzz::visible().base();
  seeds.add("inspection", "found out " + path +
                              "\nrule dev allowedReferences\nspec dev "
                              "allowedReferences " +
                              path + "\n");
  seeds.add("inspection", "rule out disallowedRequisites\n");
  using boundary::MessageType;
  seeds.add("boundary", boundary::encode({MessageType::grant, 1, 2, {path}}));
  seeds.add("boundary", boundary::encode({MessageType::reveal, 1, 2, {path, path}}));
  seeds.add("boundary", boundary::encode({MessageType::welcome, 0, 0, {}}));
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) {
    std::cerr << "usage: fuzz-seeds FOLDER TESTS\n";
    return 1;
  }
  Seeds seeds(argv[1]);
  for (const std::uint8_t minor : {20, 22, 29, 34, 38}) {
    operations_of(seeds, minor);
    messages_of(seeds, minor);
  }
  handshakes(seeds);
  golden(seeds, argv[2]);
  core(seeds, argv[2]);
  lines(seeds);
}
