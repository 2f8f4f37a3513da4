#include "daemon/mediator/proxy.hpp"

#include <pthread.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <csignal>
#include <mutex>

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
  auto closure = infos.whole_closure(
      options.roots, [&](const StorePath& path) { missing = config.layout.print(path); });
  if (!missing.empty()) return tl::unexpected("the root " + missing + " is not valid");
  return closure;
}

void wait_for_signal() {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGINT);
  int signal = 0;
  sigwait(&signals, &signal);
}

/// The socket's file goes when the proxy does.
class SocketFile {
 public:
  explicit SocketFile(std::string path) : path_(std::move(path)) {}
  SocketFile(const SocketFile&) = delete;
  SocketFile& operator=(const SocketFile&) = delete;
  ~SocketFile() { ::unlink(path_.c_str()); }

 private:
  std::string path_;
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
  try {
    auto visible = visible_at_first(config, options, services);
    if (!visible) return tl::unexpected(visible.error());
    auto listening = wire::listen_unix(options.listen, options.mode);
    if (!listening) return tl::unexpected(listening.error());
    const SocketFile file(options.listen);
    const auto name = name_of_proxy();
    const auto ledger_id = ledger.open_session(name, {});
    auto session =
        std::make_shared<Session>(1, ledger_id, name, Derivation{}, *std::move(visible), services);
    const BuildWatch watch(
        builds, [&config] { return find_build_users(config.layout); },
        [&](const Builds::Ending& ending) { (void)session->condemn(ending.reason); });
    SessionServer server(
        *std::move(listening), [&] { return session; }, [](Session&) {}, services);
    ready();
    wait_for_signal();
    server.stop();
  } catch (const UpstreamLost& lost) {
    return tl::unexpected(std::string(lost.what()));
  }
  if (auto reason = boundary.reason(); !reason.empty()) return tl::unexpected(std::move(reason));
  return {};
}

}  // namespace airlock
