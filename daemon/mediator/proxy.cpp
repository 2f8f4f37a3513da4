#include "daemon/mediator/proxy.hpp"

#include <spdlog/spdlog.h>
#include <sys/stat.h>
#include <unistd.h>

#include <chrono>
#include <condition_variable>
#include <csignal>
#include <functional>
#include <mutex>
#include <optional>
#include <thread>

#include "daemon/mediator/build_users.hpp"
#include "daemon/mediator/build_watch.hpp"
#include "daemon/mediator/session_server.hpp"
#include "daemon/wire/unix_socket.hpp"

namespace airlock {

namespace {

/// Nobody to verify, to show anything or to kill: who can open the socket is whom it is for.
class NoSandbox final : public Boundary {
 public:
  Result verify(SessionNumber, int) override { return {}; }
  Result reveal(SessionNumber, const std::set<StorePath>&) override { return {}; }
  Result grant(SessionNumber, const std::set<StorePath>&) override { return {}; }
  Result condemn(SessionNumber, const std::string& reason) override {
    {
      const std::lock_guard lock(mutex_);
      if (reason_.empty()) reason_ = reason;
    }
    ::kill(::getpid(), SIGTERM);  // ends the wait in serve_proxy
    return {};
  }
  [[nodiscard]] std::string reason() const {
    const std::lock_guard lock(mutex_);
    return reason_;
  }

 private:
  mutable std::mutex mutex_;
  std::string reason_;
};

/// The session of a proxy belongs to no derivation, and needs a name all the same.
StorePath name_of_proxy() {
  return StorePath::parse(std::string(32, '0') + "-proxy").value();
}

tl::expected<std::set<StorePath>, std::string> visible_at_first(const Config& config,
                                                                const ProxyOptions& options,
                                                                const Services& services) {
  std::string missing;
  PathInfos infos(config.layout, services.connect_upstream, options.use_database);
  auto closure = infos.closure(options.roots, {},
                               [&](const StorePath& path) { missing = config.layout.print(path); });
  if (!missing.empty()) return tl::unexpected("the root " + missing + " is not valid");
  return paths_in(closure);
}

/// The socket's file goes when the proxy does, unless another's has taken its name.
class SocketFile {
 public:
  explicit SocketFile(std::string path) : path_(std::move(path)) {
    (void)::lstat(path_.c_str(), &made_);
  }
  SocketFile(const SocketFile&) = delete;
  SocketFile& operator=(const SocketFile&) = delete;
  ~SocketFile() { remove(); }
  void remove() const {
    struct stat now {};
    if (::lstat(path_.c_str(), &now) == 0 && now.st_ino == made_.st_ino &&
        now.st_dev == made_.st_dev)
      ::unlink(path_.c_str());
  }

 private:
  std::string path_;
  struct stat made_ {};
};

/// Waits for TERM or INT, which the caller has blocked, and sees to it that the process ends soon
/// after: a thread that waits for upstream may wait for minutes.
class StopSignal {
 public:
  /// status: of the process, when it has to be ended.
  explicit StopSignal(std::function<int()> status) : status_(std::move(status)) {}
  StopSignal(const StopSignal&) = delete;
  StopSignal& operator=(const StopSignal&) = delete;
  ~StopSignal() {
    {
      const std::lock_guard lock(mutex_);
      over_ = true;
      changed_.notify_all();
      // Everyone has it blocked, so it is the thread that takes it.
      if (!told_) ::kill(::getpid(), SIGTERM);
    }
    thread_.join();
  }

  void wait() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return told_; });
  }
  /// Is removed also when the process has to end before all its threads have. Lives longer than
  /// this.
  void owns(const SocketFile* file) {
    const std::lock_guard lock(mutex_);
    file_ = file;
  }

 private:
  static constexpr std::chrono::seconds grace{2};

  void watch() {
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    int signal = 0;
    sigwait(&signals, &signal);
    std::unique_lock lock(mutex_);
    told_ = true;
    changed_.notify_all();
    if (changed_.wait_for(lock, grace, [this] { return over_; })) return;
    if (file_ != nullptr) file_->remove();
    spdlog::warn("told to stop: what nix-daemon has not answered yet is not waited for");
    ::_exit(status_());
  }

  std::function<int()> status_;
  std::mutex mutex_;
  std::condition_variable changed_;
  bool told_ = false;
  bool over_ = false;
  const SocketFile* file_ = nullptr;
  std::thread thread_{[this] { watch(); }};  // last: it uses all of the above
};

}  // namespace

tl::expected<void, std::string> serve_proxy(const Config& config, const ProxyOptions& options,
                                            Ledger& ledger, const std::function<void()>& ready) {
  NoSandbox boundary;
  Builds builds(ledger, config.limits);
  Services services{config,
                    ledger,
                    boundary,
                    builds,
                    [&config] { return connect_upstream(config); },
                    options.profile,
                    false,
                    options.use_database};
  std::optional<SocketFile> file;
  StopSignal stop_signal([&] { return boundary.reason().empty() ? 0 : 1; });
  try {
    auto visible = visible_at_first(config, options, services);
    if (!visible) return tl::unexpected(visible.error());
    auto listening = wire::listen_unix(options.listen, options.mode);
    if (!listening) return tl::unexpected(listening.error());
    file.emplace(options.listen);
    stop_signal.owns(&*file);
    const auto name = name_of_proxy();
    const auto ledger_id = ledger.open_session(name, {});
    auto session =
        std::make_shared<Session>(1, ledger_id, name, Derivation{}, *std::move(visible), services);
    const BuildWatch watch(
        builds, [&config] { return find_build_users(config.layout); },
        [&](const Builds::Ending& ending) { (void)session->condemn(ending.why); });
    SessionServer server(
        *std::move(listening), [&] { return session; }, [](Session&) {}, services);
    ready();
    stop_signal.wait();
    server.stop();
  } catch (const UpstreamLost& lost) {
    return tl::unexpected(std::string(lost.what()));
  }
  if (auto reason = boundary.reason(); !reason.empty()) return tl::unexpected(std::move(reason));
  return {};
}

}  // namespace airlock
