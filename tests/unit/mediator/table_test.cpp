// The policy as one table: every operation, about a path that is visible, hidden or was added, or
// malformed, in strict; and in observe, where the daemon decides and the verdict is only recorded.
#include <sys/socket.h>

#include <catch2/catch.hpp>
#include <functional>
#include <map>
#include <optional>
#include <thread>

#include "daemon/core/content_address.hpp"
#include "daemon/mediator/connection.hpp"
#include "daemon/mediator/operations.hpp"
#include "daemon/wire/handshake.hpp"
#include "daemon/wire/unix_socket.hpp"
#include "tests/unit/mediator/fakes.hpp"
#include "tests/unit/mediator/one_client_daemon.hpp"

using namespace airlock;
using namespace airlock::fakes;

namespace {

/// What the rules say: "decision rule", of each kind of argument. "" where there is no such
/// argument, "over" where decoding ends the connection.
struct Expected {
  std::string visible, hidden, added, malformed;
};

const std::string question = "answer session-answers";
const std::string on_path = "answer path-visible";
const std::string hidden = "deny path-visible";
const std::string never = "deny never";
const std::string add = "allow add";
const std::string reference = "deny references-visible";
const std::string build = "allow build";
const std::string over = "over";

const std::map<std::string, Expected> expected{
    {"IsValidPath", {question, question, question, over}},
    {"HasSubstitutes", {question, question, question, over}},
    {"QueryPathHash", {on_path, hidden, on_path, over}},
    {"QueryReferences", {on_path, hidden, on_path, over}},
    {"QueryReferrers", {on_path, hidden, on_path, over}},
    {"AddToStore", {add, reference, add, over}},
    {"AddTextToStore", {add, reference, add, over}},
    {"BuildPaths", {build, hidden, build, over}},
    {"EnsurePath", {on_path, hidden, on_path, over}},
    {"AddTempRoot", {question, question, question, over}},
    {"AddIndirectRoot", {question, question, question, over}},
    {"SyncWithGC", {question, "", "", ""}},
    {"FindRoots", {never, "", "", ""}},
    {"ExportPath", {on_path, hidden, on_path, over}},
    {"QueryDeriver", {on_path, hidden, on_path, over}},
    {"SetOptions", {question, "", "", over}},
    {"CollectGarbage", {never, never, never, over}},
    {"QuerySubstitutablePathInfo", {question, question, question, over}},
    {"QueryDerivationOutputs", {on_path, hidden, on_path, over}},
    {"QueryAllValidPaths", {question, "", "", ""}},
    {"QueryPathInfo", {question, question, question, over}},
    {"ImportPaths", {"deny add-content-addressed", "", "", ""}},
    {"QueryDerivationOutputNames", {on_path, hidden, on_path, over}},
    {"QueryPathFromHashPart", {question, question, question, over}},
    {"QuerySubstitutablePathInfos", {question, question, question, over}},
    {"QueryValidPaths", {question, question, question, over}},
    {"QuerySubstitutablePaths", {question, question, question, over}},
    {"QueryValidDerivers", {question, question, question, over}},
    {"OptimiseStore", {never, "", "", ""}},
    {"VerifyStore", {never, "", "", over}},
    {"BuildDerivation", {build, hidden, build, over}},
    {"AddSignatures", {never, never, never, over}},
    {"NarFromPath", {on_path, hidden, on_path, over}},
    {"AddToStoreNar", {add, reference, add, over}},
    {"QueryMissing", {question, question, question, over}},
    {"QueryDerivationOutputMap", {on_path, hidden, on_path, over}},
    {"RegisterDrvOutput", {never, "", "", over}},
    {"QueryRealisation", {question, "", "", over}},
    {"AddMultipleToStore", {add, "", "", over}},
    {"AddBuildLog", {never, never, never, over}},
    {"BuildPathsWithResults", {build, hidden, build, over}},
    {"AddPermRoot", {never, never, never, over}},
};

/// The requests, each about one path; those about none are the same for every path.
class Requests {
 public:
  explicit Requests(const StoreLayout& layout) : layout_(layout) {}

  /// The arguments after the number.
  [[nodiscard]] std::string arguments(const Operation& operation, const StorePath& path) const {
    StringSink sink;
    wire::Writer to(sink, layout_);
    encode(operation.op, path, to);
    return sink.text();
  }

 private:
  template <class R>
  void put(const R& request, wire::Writer& to) const {
    request.encode(to, layout_, wire::newest);
  }

  void encode(wire::Op op, const StorePath& path, wire::Writer& to) const {
    using wire::Op;
    const wire::Targets targets{{path, path.is_derivation(), {}}};
    switch (op) {
      case Op::sync_with_gc:
      case Op::find_roots:
      case Op::query_all_valid_paths:
      case Op::import_paths:
      case Op::optimise_store:
        return;
      case Op::add_to_store:
        return put(wire::AddToStore{"name", "text:sha256", {path}, false}, to);
      case Op::add_text_to_store:
        return put(wire::AddTextToStore{"name", "text", {path}}, to);
      case Op::build_paths:
        return put(wire::BuildPaths{targets}, to);
      case Op::build_paths_with_results:
        return put(wire::BuildPathsWithResults{targets}, to);
      case Op::query_missing:
        return put(wire::QueryMissing{targets}, to);
      case Op::add_indirect_root:
        return put(wire::AddIndirectRoot{layout_.print(path)}, to);
      case Op::query_path_from_hash_part:
        return put(wire::QueryPathFromHashPart{std::string(path.hash_part())}, to);
      case Op::query_realisation:
        return put(wire::QueryRealisation{"sha256:00!out"}, to);
      case Op::export_path:
        return put(wire::ExportPath{path}, to);
      case Op::set_options:
        return put(wire::SetOptions{}, to);
      case Op::collect_garbage:
        return put(wire::CollectGarbage{3, {path}, false, 0}, to);
      case Op::query_substitutable_path_infos:
        return put(wire::QuerySubstitutablePathInfos{{{path, ""}}}, to);
      case Op::query_valid_paths:
        return put(wire::QueryValidPaths{{path}, false}, to);
      case Op::query_substitutable_paths:
        return put(wire::QuerySubstitutablePaths{{path}}, to);
      case Op::verify_store:
        return put(wire::VerifyStore{}, to);
      case Op::build_derivation: {
        wire::BuildDerivation request{path, {}, {}, {}, {}, {}, {}, {}};
        const auto name = std::string(path.name());
        const auto output = policy::fake_path(name.substr(0, name.size() - 4));
        request.outputs = {{"out", layout_.print(output), "", ""}};
        return put(request, to);
      }
      case Op::add_signatures:
        return put(wire::AddSignatures{path, {"key:sig"}}, to);
      case Op::add_to_store_nar: {
        const ContentAddress address{IngestionMethod::recursive, sha256("x")};
        wire::AddToStoreNar request{
            path_of(layout_, "name", address, {{path}, false}).value(), {}, false, true};
        request.info.references = {path};
        request.info.content_address = address.print();
        return put(request, to);
      }
      case Op::register_drv_output:
        return put(wire::RegisterDrvOutput{"{}"}, to);
      case Op::add_multiple_to_store:
        return put(wire::AddMultipleToStore{}, to);
      case Op::add_build_log:
        return put(wire::AddBuildLog{path.base()}, to);
      case Op::add_perm_root:
        return put(wire::AddPermRoot{path, "/link"}, to);
      default:  // all others are about one path and nothing else
        return to.path(path);
    }
  }

  const StoreLayout& layout_;
};

bool is_about_derivations(const Operation& operation) {
  using wire::Op;
  return operation.op == Op::build_paths || operation.op == Op::build_paths_with_results ||
         operation.op == Op::build_derivation || operation.op == Op::query_missing;
}

std::string decide(const Operation& operation, const std::string& arguments,
                   const policy::Scene& scene) {
  StringSource source(arguments);
  wire::Reader from(source, scene.layout(), {});
  try {
    const auto request = operation.decode(from, wire::newest);
    const auto verdict = request->decide(scene);
    return std::string(policy::name_of(verdict.decision)) + " " + std::string(verdict.rule);
  } catch (const ConnectionOver&) {
    return over;
  }
}

/// A daemon that takes one connection and refuses every operation.
class RefusingDaemon {
 public:
  explicit RefusingDaemon(const std::string& path)
      : listening_(wire::listen_unix(path, 0600).value()), thread_([this] { serve(); }) {}
  RefusingDaemon(const RefusingDaemon&) = delete;
  RefusingDaemon& operator=(const RefusingDaemon&) = delete;
  ~RefusingDaemon() { thread_.join(); }

 private:
  void serve() {
    fakes::serve_one_client(
        listening_.get(), [&](wire::Reader& from, wire::Writer& to, wire::Version version) {
          for (;;) {
            const auto* operation = find_operation(from.u64(), version);
            REQUIRE(operation != nullptr);
            (void)operation->decode(from, version);
            const auto body = operation->body(version);
            if (const auto upload = wire::open_upload(body, from, to, version)) upload->drain(1000);
            wire::write_log_message(to, wire::Error{0, "the daemon decided", {}}, version);
            to.flush();
          }
        });
  }

  Fd listening_;
  std::thread thread_;
};

}  // namespace

TEST_CASE("strict: every operation, whatever it is about") {
  policy::FakeScene scene;
  const Requests requests(scene.store);
  std::map<std::string, int> met;
  for (const auto& operation : operations()) {
    const std::string name(operation.name);
    CAPTURE(name);
    ++met[name];
    REQUIRE(expected.contains(name));
    const auto& row = expected.at(name);
    const bool derivation = is_about_derivations(operation);
    const auto visible =
        derivation ? scene.add_derivation("visible-" + name) : scene.add("visible-" + name);
    const auto added =
        derivation ? scene.add_derivation("added-" + name) : scene.add("added-" + name);
    const auto absent = policy::fake_path("hidden" + std::string(derivation ? ".drv" : ""));
    CHECK(decide(operation, requests.arguments(operation, visible), scene) == row.visible);
    if (!row.hidden.empty())
      CHECK(decide(operation, requests.arguments(operation, absent), scene) == row.hidden);
    if (!row.added.empty())
      CHECK(decide(operation, requests.arguments(operation, added), scene) == row.added);
    if (row.malformed.empty()) continue;
    auto cut = requests.arguments(operation, visible);
    cut.resize(cut.size() - 8);
    CHECK(decide(operation, cut, scene) == row.malformed);
    auto huge = requests.arguments(operation, visible);
    huge.replace(0, 8, 8, '\xff');  // a length, count or flag that cannot be
    if (operation.op != wire::Op::set_options && operation.op != wire::Op::collect_garbage &&
        operation.op != wire::Op::verify_store && operation.op != wire::Op::add_multiple_to_store)
      CHECK(decide(operation, huge, scene) == over);
  }
  for (const auto& [name, row] : expected) {
    CAPTURE(name);
    CHECK(met[name] == 1);
  }
}

TEST_CASE("observe: the daemon decides, whatever strict would have said, which is recorded") {
  World world;
  world.services.profile = Profile::observe;
  world.config.upstream = (world.folder / "daemon").string();
  const RefusingDaemon daemon(world.config.upstream);
  int ends[2];
  REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0);
  Fd client(ends[0]);
  const Fd server(ends[1]);
  std::thread mediator([&] { serve_connection(server.get(), 1, world.session, world.services); });
  {
    wire::FdSource source(client.get(), std::chrono::seconds(10));
    wire::FdSink sink(client.get(), std::chrono::seconds(10));
    wire::Reader from(source, world.config.layout, {});
    wire::Writer to(sink, world.config.layout);
    const auto version = wire::offer_handshake(from, to).version;
    REQUIRE(std::holds_alternative<wire::Last>(wire::read_log_message(from, version)));
    const Requests requests(world.config.layout);
    const auto drv = world.add_derivation("observed");
    for (const auto& operation : operations()) {
      CAPTURE(operation.name);
      to.u64(static_cast<std::uint64_t>(operation.op));
      to.raw(requests.arguments(operation, is_about_derivations(operation) ? drv : world.hidden));
      if (operation.op == wire::Op::add_multiple_to_store)
        to.raw(std::string("\x08", 1) + std::string(15, '\0'));
      if (operation.body(version) == wire::Body::framed) to.u64(0);
      to.flush();
      const auto answer = wire::read_log_message(from, version);
      REQUIRE(std::holds_alternative<wire::Error>(answer));
      CHECK(std::get<wire::Error>(answer).message == "the daemon decided");
    }
  }
  client.reset();
  mediator.join();
  const std::lock_guard lock(world.ledger.mutex);
  REQUIRE(world.ledger.operations.size() == operations().size());
  for (const auto& recorded : world.ledger.operations) {
    CAPTURE(recorded.operation);
    const auto& row = expected.at(recorded.operation);
    const auto& verdict = row.hidden.empty() || recorded.operation.starts_with("Build") ||
                                  recorded.operation == "QueryMissing"
                              ? row.visible
                              : row.hidden;
    CHECK(recorded.verdict + " " + recorded.rule == verdict);
  }
}
