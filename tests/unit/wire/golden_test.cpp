// What real clients and real daemons of two Nix versions said to each other
// (scripts/record-golden), decoded to its end and encoded again to the same bytes. Beside each
// recording stands what is read in it; AIRLOCK_GOLDEN_ACCEPT=1 in the environment has that written
// anew.
#include <algorithm>
#include <boost/filesystem.hpp>
#include <catch2/catch.hpp>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <set>

#include "daemon/core/nar.hpp"
#include "daemon/mediator/operations.hpp"
#include "daemon/wire/handshake.hpp"
#include "daemon/wire/log.hpp"
#include "tests/support/requests.hpp"
#include "tests/unit/wire/noting_source.hpp"

using namespace airlock;
using namespace airlock::wire;
namespace fs = boost::filesystem;

namespace {

const StoreLayout layout;

std::string read_file(const fs::path& path) {
  std::ifstream stream(path.string(), std::ios::binary);
  REQUIRE(stream);
  return {std::istreambuf_iterator<char>(stream), {}};
}

template <class Write>
std::string bytes_of(const Write& write) {
  StringSink sink;
  Writer to(sink, layout);
  write(to);
  return sink.text();
}

bool is_archive(std::string_view bytes) {
  StringSource source(bytes);
  StringSink copy;
  copy_nar(source, copy);
  return source.rest().empty() && copy.text() == bytes;
}

/// What an upload holds is what its operation says.
template <class R>
void check_upload(const R&, std::string_view) {}
void check_upload(const AddToStore& request, std::string_view content) {
  const bool archive = request.method.find("r:") != std::string::npos;
  if (archive) CHECK(is_archive(content));
}
void check_upload(const AddToStoreNar& request, std::string_view content) {
  CHECK(content.size() == request.info.nar_size);
  CHECK(is_archive(content));
}
void check_upload(const AddMultipleToStore&, std::string_view content) {
  StringSource source(content);
  Reader from(source, layout, {});
  StringSink sink;
  Writer to(sink, layout);
  auto count = from.count();
  to.u64(count);
  for (; count > 0; --count) {
    to.path(from.path());
    write_path_info(to, read_path_info(from));
    copy_nar(source, sink);
  }
  CHECK(source.rest().empty());
  CHECK(sink.text() == content);
}

/// One recorded connection.
class Recording {
 public:
  Recording(std::string client, std::string daemon)
      : client_(std::move(client)), daemon_(std::move(daemon)) {}

  void decode() {
    shake_hands();
    (void)log();
    while (client_source_.left() > 0) operation();
    CHECK(daemon_source_.left() == 0);
    CHECK(from_client_.canonical());
    CHECK(from_daemon_.canonical());
  }
  [[nodiscard]] const std::string& text() const { return text_; }
  /// Names of the operations that were answered with a reply.
  [[nodiscard]] const std::set<std::string>& answered() const { return answered_; }

 private:
  void shake_hands() {
    const auto offered = Version::decode(static_cast<unsigned char>(client_.at(8)) |
                                         static_cast<unsigned char>(client_.at(9)) << 8);
    ServerGreeting greeting;
    Version server;
    const auto as_client = bytes_of([&](Writer& to) {
      server = begin_handshake(from_daemon_, to);
      greeting = complete_handshake(from_daemon_, to, server, offered);
    });
    const auto as_daemon = bytes_of([&](Writer& to) {
      version_ = accept_greeting(from_client_, to, server);
      finish_greeting(from_client_, to, version_, greeting.server);
    });
    CHECK(version_ == greeting.version);
    CHECK(as_client == client_source_.since(0));
    CHECK(as_daemon == daemon_source_.since(0));
    line("client", client_source_);
    line("daemon", daemon_source_);
  }

  void operation() {
    const auto number = from_client_.u64();
    (void)client_source_.take_notes();
    const auto* const row = find_operation(number, version_);
    REQUIRE(row != nullptr);
    text_ += '\n';
    REQUIRE(test::for_request(
        row->op, [&]<class R>() { exchange<R>(std::string(row->name)); }, test::AllRequests{}));
  }

  template <class R>
  void exchange(const std::string& name) {
    INFO(name);
    const auto begin = client_source_.position();
    const auto request = R::decode(from_client_, version_);
    CHECK(bytes_of([&](Writer& to) { request.encode(to, layout, version_); }) ==
          client_source_.since(begin));
    line(name, client_source_);
    const auto kind = body_of<R>(version_);
    if (kind == Body::framed) check_upload(request, frames());
    if (kind == Body::archive) check_upload(request, archive(client_source_));
    if (!log()) return;
    answered_.insert(name);
    if constexpr (std::is_same_v<typename R::Reply, Archive>)
      (void)archive(daemon_source_);
    else
      reply<typename R::Reply>();
  }

  template <class Reply>
  void reply() {
    const auto begin = daemon_source_.position();
    const auto reply = Reply::decode(from_daemon_, version_);
    CHECK(bytes_of([&](Writer& to) { reply.encode(to, version_); }) == daemon_source_.since(begin));
    line("reply", daemon_source_);
  }

  /// Up to and with LAST (true) or ERROR (false); uploads that the daemon asks for on the way.
  bool log() {
    for (;;) {
      const auto begin = daemon_source_.position();
      const auto message = read_log_message(from_daemon_, version_);
      CHECK(bytes_of([&](Writer& to) { write_log_message(to, message, version_); }) ==
            daemon_source_.since(begin));
      static constexpr const char* names[] = {"log",  "start", "stop", "result",
                                              "last", "error", "read", "write"};
      const auto notes = daemon_source_.take_notes();
      text_ += names[message.index()] + notes.substr(std::min(notes.find(' ', 1), notes.size()));
      text_ += '\n';
      if (std::holds_alternative<Last>(message)) return true;
      if (std::holds_alternative<Error>(message)) return false;
      if (const auto* read = std::get_if<ReadRequest>(&message)) {
        (void)from_client_.string(read->most, "a piece of an upload");
        line("piece", client_source_);
      }
    }
  }

  std::string frames() {
    client_source_.noting = false;
    FramedSource frames(from_client_);
    std::string content;
    char buffer[1000];
    while (const auto n = frames.read_some(buffer)) content.append(buffer, n);
    client_source_.noting = true;
    text_ += fmt::format("  frames of {} bytes\n", content.size());
    return content;
  }

  std::string archive(test::NotingSource& source) {
    source.noting = false;
    StringSink copy;
    const auto begin = source.position();
    copy_nar(source, copy);
    CHECK(copy.text() == source.since(begin));
    source.noting = true;
    text_ += fmt::format("  archive of {} bytes\n", copy.text().size());
    return copy.text();
  }

  void line(const std::string& what, test::NotingSource& source) {
    text_ += what + source.take_notes() + '\n';
  }

  std::string client_;
  std::string daemon_;
  test::NotingSource client_source_{client_};
  test::NotingSource daemon_source_{daemon_};
  Reader from_client_{client_source_, layout, {}};
  Reader from_daemon_{daemon_source_, layout, {}};
  Version version_;
  std::string text_;
  std::set<std::string> answered_;
};

/// What both Nix versions must have been heard to answer.
const std::set<std::string> expected{"SetOptions",
                                     "IsValidPath",
                                     "QueryPathInfo",
                                     "QueryValidPaths",
                                     "AddToStore",
                                     "AddTextToStore",
                                     "AddToStoreNar",
                                     "AddMultipleToStore",
                                     "NarFromPath",
                                     "QueryMissing",
                                     "BuildPaths",
                                     "BuildPathsWithResults",
                                     "AddTempRoot",
                                     "AddIndirectRoot",
                                     "FindRoots",
                                     "CollectGarbage",
                                     "QueryReferrers",
                                     "QueryPathFromHashPart",
                                     "EnsurePath",
                                     "VerifyStore",
                                     "QueryDerivationOutputMap",
                                     "AddSignatures",
                                     "BuildDerivation",
                                     "QueryReferences",
                                     "QueryDeriver",
                                     "QueryValidDerivers",
                                     "QuerySubstitutablePaths",
                                     "SyncWithGC",
                                     "QueryPathHash",
                                     "QuerySubstitutablePathInfos",
                                     "ExportPath",
                                     "HasSubstitutes",
                                     "QuerySubstitutablePathInfo",
                                     "AddBuildLog",
                                     "QueryDerivationOutputs",
                                     "QueryDerivationOutputNames"};

}  // namespace

TEST_CASE("recorded connections are decoded and encoded to the same bytes", "[golden]") {
  const bool accept = std::getenv("AIRLOCK_GOLDEN_ACCEPT") != nullptr;
  for (const std::string nix : {"2.8.0", "2.26.3"}) {
    std::set<std::string> missing = expected;
    for (const auto& entry : fs::directory_iterator(fs::path(AIRLOCK_GOLDEN) / nix)) {
      auto path = entry.path();
      if (path.extension() != ".client") continue;
      INFO(path.string());
      auto client = read_file(path);
      Recording recording(std::move(client), read_file(path.replace_extension(".daemon")));
      recording.decode();
      for (const auto& name : recording.answered()) missing.erase(name);
      path.replace_extension(".txt");
      if (accept) std::ofstream(path.string(), std::ios::binary) << recording.text();
      CHECK(read_file(path) == recording.text());
    }
    INFO(nix);
    CHECK(missing == std::set<std::string>());
  }
}
