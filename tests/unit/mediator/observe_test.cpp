// Profile observe over whole connections, with a daemon that takes everything: what strict would
// have said of content is recorded, and what is passed on and answered stays as it was.
#include <sys/socket.h>

#include "daemon/mediator/operations.hpp"
#include "daemon/wire/unix_socket.hpp"
#include "tests/unit/mediator/conversation.hpp"
#include "tests/unit/mediator/finished_paths.hpp"
#include "tests/unit/mediator/one_client_daemon.hpp"

using namespace airlock;
using namespace airlock::fakes;

namespace {

/// Takes one connection and says yes to every operation. What it was sent stays.
class GivingDaemon {
 public:
  explicit GivingDaemon(const std::string& path)
      : listening_(wire::listen_unix(path, 0600).value()), thread_([this] { serve(); }) {}
  GivingDaemon(const GivingDaemon&) = delete;
  GivingDaemon& operator=(const GivingDaemon&) = delete;
  ~GivingDaemon() { thread_.join(); }

  StorePath added = policy::fake_path("added.drv");
  std::vector<std::string> bodies;  ///< complete when its answer is read

 private:
  void serve() {
    fakes::serve_one_client(listening_.get(),
                            [&](wire::Reader& from, wire::Writer& to, wire::Version version) {
                              for (;;) answer(static_cast<wire::Op>(from.u64()), from, to, version);
                            });
  }

  void answer(wire::Op op, wire::Reader& from, wire::Writer& to, wire::Version version) {
    const auto* operation = find_operation(static_cast<std::uint64_t>(op), version);
    REQUIRE(operation != nullptr);
    (void)operation->decode(from, version);
    if (const auto upload = wire::open_upload(operation->body(version), from, to, version)) {
      bodies.push_back(upload->is_framed() ? read_frames(*upload) : read_archive(*upload));
    }
    wire::write_log_message(to, wire::Last{}, version);
    if (op == wire::Op::add_to_store) wire::AddedPath{added}.encode(to, version);
    if (op == wire::Op::add_text_to_store) wire::PathReply{added}.encode(to, version);
    if (op == wire::Op::build_derivation)
      wire::OneBuildResult{{wire::BuildStatus::built, {}}}.encode(to, version);
    to.flush();
  }

  static std::string read_frames(wire::Upload& upload) {
    std::string body;
    std::array<char, 1000> buffer{};
    while (const auto n = upload.read_some(buffer)) body.append(buffer.data(), n);
    return body;
  }
  static std::string read_archive(wire::Upload& upload) {
    StringSink body;
    copy_nar(upload, body);
    return body.text();
  }

  Fd listening_;
  std::thread thread_;
};

/// An observing proxy between a client and that daemon.
struct Observed {
  explicit Observed(wire::Version offered = wire::newest,
                    std::uint64_t request_bytes = Limits{}.request_bytes) {
    world.services.profile = Profile::observe;
    world.config.limits.request_bytes = request_bytes;
    world.config.upstream = (world.folder / "daemon").string();
    daemon.emplace(world.config.upstream);
    client.emplace(world);
    client->handshake(offered);
  }

  std::string derivation(const StorePath& input) const {
    Derivation made;
    made.outputs["out"] = {policy::fake_path("out"), "", ""};
    made.input_sources = {input};
    made.platform = "x";
    made.builder = "/bin/sh";
    return made.unparse(world.config.layout);
  }
  wire::AddToStoreNar described(const std::string& name, const std::string& content,
                                const std::set<StorePath>& references, bool text) const {
    return fakes::described(world.config.layout, name, content, references, text);
  }
  std::string packed(const std::vector<std::pair<wire::AddToStoreNar, std::string>>& items) const {
    StringSink sink;
    wire::Writer to(sink, world.config.layout);
    to.u64(items.size());
    for (const auto& [item, content] : items) pack(to, item, content);
    return sink.text();
  }
  template <class R>
  void send(const R& request, const std::string& body) {
    client->to().u64(static_cast<std::uint64_t>(R::number));
    request.encode(client->to(), world.config.layout, wire::newest);
    wire::FramedSink frames(client->to());
    frames.write(body);
    frames.finish();
    REQUIRE_FALSE(client->finish());
    REQUIRE_FALSE(daemon->bodies.empty());
    CHECK((daemon->bodies.back() == body));
    (void)R::Reply::decode(client->from(), wire::newest);
  }
  /// "verdict rule subject" of the next row, which is that of an operation that was done.
  std::string next_row() {
    ++rows;  // of one that was answered it may still be on its way
    for (int i = 0; i < 1000 && world.ledger.verdicts().size() < rows; ++i)
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    const std::lock_guard lock(world.ledger.mutex);
    REQUIRE(world.ledger.operations.size() == rows);
    const auto& row = world.ledger.operations.back();
    CHECK(row.succeeded);
    return row.verdict + " " + row.rule + " " + row.subject;
  }
  std::string print(const StorePath& path) const { return world.config.layout.print(path); }

  World world;
  std::size_t rows = 0;  ///< that were looked at
  std::optional<GivingDaemon> daemon;
  std::optional<Conversation> client;  ///< ends before the daemon, which waits for that
};

}  // namespace

TEST_CASE("observe: a derivation that is added is judged by its text") {
  Observed observed;
  const wire::AddToStore request{"added.drv", "text:sha256", {observed.world.visible}, false};
  const auto added = observed.print(observed.daemon->added);
  observed.send(request, observed.derivation(observed.world.visible));
  CHECK(observed.next_row() == "allow add " + added);
  observed.send(request, observed.derivation(observed.world.hidden));
  CHECK(observed.next_row() == "deny derivation-inputs " + added);
  observed.send(request, "no derivation");
  CHECK(observed.next_row() == "deny derivation-inputs " + added);
  auto as_archive = request;
  as_archive.method = "fixed:r:sha256";
  observed.send(as_archive,
                test::nar({test::Tree::File{observed.derivation(observed.world.hidden)}}));
  CHECK(observed.next_row() == "deny derivation-is-text " + added);
  observed.world.config.limits.derivation_bytes = 100;
  observed.send(request, std::string(200'000, 'x'));
  CHECK(observed.next_row() == "deny derivation-inputs " + added);

  const auto text = observed.derivation(observed.world.hidden);
  const wire::AddTextToStore old{"added.drv", text, {observed.world.visible}};
  CHECK_FALSE(observed.client->ask(wire::Op::add_text_to_store, old));
  CHECK(observed.client->from().path() == observed.daemon->added);
  CHECK(observed.next_row() == "deny derivation-inputs " + added);
}

TEST_CASE("observe: each path of AddMultipleToStore is judged as strict would, and is noted") {
  Observed observed;
  const auto first = observed.described("first", "one", {}, false);
  const auto second = observed.described("second", "two", {first.path}, false);
  observed.world.upstream_state.infos[first.path] = {};
  observed.world.upstream_state.infos[second.path] = {};
  observed.send(wire::AddMultipleToStore{}, observed.packed({{first, "one"}, {second, "two"}}));
  CHECK(observed.next_row() ==
        "allow add " + observed.print(first.path) + " " + observed.print(second.path));
  CHECK(observed.world.session.visible(second.path));

  const auto bad = observed.described("bad", "two", {observed.world.hidden}, false);
  observed.send(wire::AddMultipleToStore{}, observed.packed({{first, "one"}, {bad, "two"}}));
  CHECK(observed.next_row() == "deny references-visible " + observed.print(bad.path));
  observed.send(wire::AddMultipleToStore{}, observed.packed({{first, "other"}, {bad, "two"}}));
  CHECK(observed.next_row() == "deny add-content-addressed " + observed.print(first.path));

  const auto text = observed.derivation(observed.world.hidden);
  const auto derivation = observed.described("x.drv", text, {observed.world.visible}, true);
  observed.send(wire::AddMultipleToStore{}, observed.packed({{first, "one"}, {derivation, text}}));
  CHECK(observed.next_row() == "deny derivation-inputs " + observed.print(derivation.path));

  auto cut = observed.packed({{first, "one"}});
  cut.resize(cut.size() - 8);
  observed.send(wire::AddMultipleToStore{}, cut);
  CHECK(observed.next_row().starts_with("deny well-formed"));
}

TEST_CASE("observe: one finished path is judged by its archive") {
  Observed observed;
  const auto text = observed.derivation(observed.world.hidden);
  const auto item = observed.described("x.drv", text, {observed.world.visible}, true);
  observed.send(item, test::nar({test::Tree::File{text}}));
  CHECK(observed.next_row() == "deny derivation-inputs " + observed.print(item.path));
  const auto good = observed.described("good", "content", {}, false);
  observed.send(good, test::nar({test::Tree::File{"content"}}));
  CHECK(observed.next_row() == "allow add " + observed.print(good.path));
  observed.send(good, test::nar({test::Tree::File{"other"}}));
  CHECK(observed.next_row() == "deny add-content-addressed " + observed.print(good.path));
  const auto executable = test::nar({test::Tree::File{"content", true}});
  auto plain = observed.described("plain", "content", {}, true);
  plain.info.nar_hash = sha256(executable).base16();
  plain.info.nar_size = executable.size();
  observed.send(plain, executable);
  CHECK(observed.next_row() == "deny add-content-addressed " + observed.print(plain.path));
}

TEST_CASE("observe: what BuildDerivation has built is visible since, as it is in strict") {
  Observed observed;
  const auto path = observed.world.add_derivation("built");
  const auto output = policy::fake_path("built");
  observed.world.upstream_state.infos[output] = {};
  const wire::BuildDerivation request{
      path, {{"out", observed.print(output), "", ""}}, {}, {}, {}, {}, {}, {}};
  CHECK_FALSE(observed.client->ask(wire::Op::build_derivation, request));
  (void)wire::OneBuildResult::decode(observed.client->from(), wire::newest);
  CHECK(observed.next_row() == "allow build " + observed.print(path));
  CHECK(observed.world.session.visible(output));
}

TEST_CASE("observe: an upload in pieces may be larger than the request that it belongs to") {
  constexpr wire::Version version{1, 22};
  Observed observed(version, 100'000);
  const std::string content(300'000, 'x');
  const auto item = observed.described("large", content, {}, false);
  const auto archive = test::nar({test::Tree::File{content}});
  auto& to = observed.client->to();
  to.u64(static_cast<std::uint64_t>(wire::Op::add_to_store_nar));
  item.encode(to, observed.world.config.layout, version);
  for (std::size_t sent = 0;;) {
    to.flush();
    const auto message = wire::read_log_message(observed.client->from(), version);
    if (std::holds_alternative<wire::Last>(message)) break;
    const auto* asked = std::get_if<wire::ReadRequest>(&message);
    REQUIRE(asked != nullptr);
    to.string(std::string_view(archive).substr(sent, asked->most));
    sent += asked->most;
  }
  REQUIRE(observed.daemon->bodies.size() == 1);
  CHECK((observed.daemon->bodies.front() == archive));
}
