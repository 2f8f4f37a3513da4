#pragma once

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <boost/filesystem.hpp>
#include <fstream>
#include <map>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "daemon/mediator/session.hpp"
#include "tests/unit/policy/fake_scene.hpp"

namespace airlock::fakes {

/// What happened, in order, over all fakes. Thread-safe.
class Trace {
 public:
  void add(std::string event) {
    const std::lock_guard lock(mutex_);
    events_.push_back(std::move(event));
  }
  std::size_t index(const std::string& event) const {
    const std::lock_guard lock(mutex_);
    return static_cast<std::size_t>(std::find(events_.begin(), events_.end(), event) -
                                    events_.begin());
  }
  /// Waits up to ten seconds.
  bool await(const std::string& event) const {
    for (int i = 0; i < 1000; ++i) {
      if (count(event) > 0) return true;
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    return false;
  }
  std::size_t count(const std::string& prefix) const {
    const std::lock_guard lock(mutex_);
    return static_cast<std::size_t>(
        std::count_if(events_.begin(), events_.end(),
                      [&](const auto& event) { return event.starts_with(prefix); }));
  }

 private:
  mutable std::mutex mutex_;
  std::vector<std::string> events_;
};

struct FakeBoundary final : Boundary {
  explicit FakeBoundary(Trace& t) : trace(t) {}
  Result verify(SessionNumber, int) override { return answer("verify", verified); }
  Result reveal(SessionNumber, const std::set<StorePath>&) override {
    return answer("reveal", true);
  }
  Result grant(SessionNumber, const std::set<StorePath>& paths) override {
    Result result;
    for (const auto& path : paths) result = answer("grant " + path.base(), grants);
    return result;
  }
  Result condemn(SessionNumber, const std::string& why) override {
    reason = why;
    return answer("condemn", true);
  }
  Result answer(const std::string& event, bool good) {
    trace.add(event);
    return good ? Result{} : tl::unexpected(std::string("no"));
  }
  Trace& trace;
  bool verified = true;
  bool grants = true;
  std::string reason;  ///< of the last session that was condemned
};

struct FakeLedger final : Ledger {
  LedgerSession open_session(const StorePath&, const std::set<LedgerSession>&) override {
    return 1;
  }
  void add_parent(LedgerSession, LedgerSession) override {}
  void set_state(LedgerSession, SessionState, const std::string&) override {}
  void record(const LedgerOperation& operation) override {
    const std::lock_guard lock(mutex);
    operations.push_back(operation);
  }
  void record_grant(LedgerSession, const StorePath&, const std::string&) override {}
  std::vector<std::string> verdicts() {
    const std::lock_guard lock(mutex);
    std::vector<std::string> all;
    for (const auto& operation : operations) all.push_back(operation.verdict);
    return all;
  }
  /// The rules of the rows with this verdict, in order.
  std::vector<std::string> rules(const std::string& verdict) {
    const std::lock_guard lock(mutex);
    std::vector<std::string> all;
    for (const auto& operation : operations)
      if (operation.verdict == verdict) all.push_back(operation.rule);
    return all;
  }
  std::mutex mutex;
  std::vector<LedgerOperation> operations;
};

/// The daemon behind every FakeUpstream of one world.
struct UpstreamState {
  explicit UpstreamState(Trace& t) : trace(t) {}
  Trace& trace;
  bool reachable = true;
  bool restarted = false;  ///< since whoever is asked was connected to
  StorePath added = policy::fake_path("added");
  std::string uploaded;
  wire::BuildStatus status = wire::BuildStatus::built;
  std::string failure = "it failed";
  std::map<StorePath, wire::PathInfo> infos;
  wire::PathInfo built_info;  ///< of every output that is built
  std::vector<std::pair<std::string, std::string>> built_outputs;  ///< of every build
  std::set<StorePath> will_build;
  std::set<StorePath> stopped;  ///< by a pre-build hook: then nothing that was asked for is built
  std::map<StorePath, wire::BuildStatus> statuses;  ///< of some derivations; the others have status
  /// What happens while it builds; empty: nothing.
  std::function<void(const LogRelay& log, int client)> while_building;
};

class FakeUpstream final : public Upstream {
 public:
  explicit FakeUpstream(UpstreamState& state) : state_(state) {}
  FakeUpstream(const FakeUpstream&) = delete;
  FakeUpstream& operator=(const FakeUpstream&) = delete;
  ~FakeUpstream() override { state_.trace.add("close upstream"); }
  bool is_idle() override { return !state_.restarted; }
  void set_options(const wire::SetOptions& options) override {
    state_.trace.add(fmt::format("options {}", options.verbosity));
  }
  void ask_temp_roots(const std::vector<StorePath>& paths) override {
    asked_.insert(asked_.end(), paths.begin(), paths.end());
  }
  Result<void> await_temp_roots() override {
    for (const auto& path : asked_) state_.trace.add("temp root " + path.base());
    asked_.clear();
    return {};
  }
  Result<std::optional<wire::PathInfo>> query_path_info(const StorePath& path) override {
    const auto info = state_.infos.find(path);
    if (info == state_.infos.end()) return std::nullopt;
    return info->second;
  }
  Result<std::pair<StorePath, wire::PathInfo>> add_to_store(const wire::AddToStore& request,
                                                            const UploadBody& body) override {
    StringSink sink;
    body(sink);
    state_.uploaded = sink.text();
    state_.trace.add("add " + request.name);
    const wire::PathInfo info{policy::fake_path("deriver.drv"),
                              std::string(64, '0'),
                              request.references,
                              1700000000,
                              1,
                              true,
                              {"host:sig"},
                              "text:sha256:x"};
    state_.infos[state_.added] = info;
    return std::pair{state_.added, info};
  }
  Result<void> add_to_store_nar(const wire::AddToStoreNar& request,
                                const UploadBody& body) override {
    StringSink sink;
    body(sink);
    state_.infos[request.path] = request.info;
    state_.trace.add("add " + request.path.base());
    return {};
  }
  Result<std::set<StorePath>> query_will_build(const wire::Targets&) override {
    return state_.will_build;
  }
  Result<std::vector<wire::KeyedBuildResult>> build(const wire::Targets& targets,
                                                    const LogRelay& log, int client) override {
    if (state_.while_building) state_.while_building(log, client);
    for (const auto& target : targets)
      if (state_.stopped.contains(target.path))
        return tl::unexpected(wire::Error{.message = "unknown pre-build hook command"});
    std::vector<wire::KeyedBuildResult> results;
    for (const auto& target : targets) {
      state_.trace.add("build " + target.path.base());
      const auto known = state_.statuses.find(target.path);
      const auto status = known != state_.statuses.end() ? known->second : state_.status;
      results.push_back(
          {target, {status, status == wire::BuildStatus::built ? "" : state_.failure}});
      if (results.back().succeeded()) results.back().result.built_outputs = state_.built_outputs;
      const auto name = std::string(target.path.name());
      if (results.back().succeeded())
        state_.infos[policy::fake_path(name.substr(0, name.size() - 4))] = state_.built_info;
    }
    return results;
  }

 private:
  UpstreamState& state_;
  std::vector<StorePath> asked_;
};

/// One open session and all it works with; its state folder is temporary.
struct World {
  World() {
    boost::filesystem::create_directories(config.layout.debts());
    std::ofstream(config.layout.conf_dir + "/nix.conf") << "post-build-hook = /bin/true\n";
    upstream_state.infos[visible] = {};
  }
  World(const World&) = delete;
  World& operator=(const World&) = delete;
  ~World() {
    boost::system::error_code ignored;
    boost::filesystem::remove_all(folder, ignored);
  }
  /// A derivation that the session has added already.
  StorePath add_derivation(const std::string& name) {
    const auto path = policy::fake_path(name + ".drv");
    Derivation derivation;
    derivation.outputs["out"] = {policy::fake_path(name), "", ""};
    upstream_state.infos[path] = {};
    session.remember(path, derivation);
    session.grant({path}, "added");
    return path;
  }
  bool is_owed(const StorePath& path) const {
    return boost::filesystem::is_symlink(boost::filesystem::symlink_status(
        boost::filesystem::path(config.layout.debts()) / session.path().base() / path.base()));
  }

  boost::filesystem::path folder = boost::filesystem::temp_directory_path() /
                                   boost::filesystem::unique_path("airlock-test-%%%%%%%%");
  Config config = [this] {
    Config c;
    c.layout.state_dir = folder.string();
    c.layout.conf_dir = folder.string();
    return c;
  }();
  Trace trace;
  FakeLedger ledger;
  FakeBoundary boundary{trace};
  Builds builds{ledger, config.limits};
  UpstreamState upstream_state{trace};
  Services services{config, ledger, boundary, builds, [this]() -> std::unique_ptr<Upstream> {
                      if (!upstream_state.reachable) throw UpstreamLost("nobody listens");
                      trace.add("connect upstream");
                      return std::make_unique<FakeUpstream>(upstream_state);
                    }};
  StorePath visible = policy::fake_path("visible");
  StorePath hidden = policy::fake_path("hidden");
  Session session{1, 1, policy::fake_path("outer.drv"), Derivation{}, {visible}, services};
};

}  // namespace airlock::fakes
