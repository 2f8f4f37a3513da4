// airlockd: parses its arguments, wires the parts together and runs until it is told to stop.
#include <fmt/format.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>
#include <sys/resource.h>
#include <sysexits.h>
#include <systemd/sd-daemon.h>

#include <CLI/CLI.hpp>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <memory>
#include <mutex>
#include <thread>

#include "daemon/config/account.hpp"
#include "daemon/mediator/mediator.hpp"

namespace {

using airlock::ControlChannel;

constexpr std::chrono::milliseconds retry_delay{100};

/// The control connection, to one airlock-fs after the other, and the sessions.
struct Link {
  Link(const airlock::Config& config, airlock::Ledger& ledger)
      : mediator(
            config, ledger, [&config] { return airlock::connect_upstream(config); }, control) {}
  ControlChannel control;
  airlock::Mediator mediator;
};

/// Waits for TERM or INT on a thread of its own; then ends the link's sandboxes, while airlock-fs
/// still answers, and the link.
class Stopper {
 public:
  Stopper() {
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    pthread_sigmask(SIG_BLOCK, &signals, nullptr);  // inherited by every later thread
    std::thread([this, signals] {
      int signal = 0;
      sigwait(&signals, &signal);
      const std::lock_guard lock(mutex_);
      stopping_ = true;
      if (current_ == nullptr) return;
      current_->control.give_up();
      current_->mediator.condemn_all(
          "airlockd was stopped while this build was in the airlock; build again");
      current_->control.close();
    }).detach();
  }
  [[nodiscard]] bool stopping() {
    const std::lock_guard lock(mutex_);
    return stopping_;
  }
  void set_current(Link* link) {
    const std::lock_guard lock(mutex_);
    current_ = link;
  }

 private:
  std::mutex mutex_;
  bool stopping_ = false;
  Link* current_ = nullptr;
};

/// Two descriptors a connection: the usual limit would end at a few hundred.
void raise_descriptor_limit() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &limit);
}

void serve(const airlock::Config& config, airlock::Ledger& ledger, Stopper& stopper) {
  // When airlock-fs is lost its sandboxes live on, and must not learn of it: every client is kept
  // waiting until the next airlock-fs is there. That one has adopted them, or ended them.
  Link link(config, ledger);
  stopper.set_current(&link);
  bool waiting = false;
  while (!stopper.stopping()) {
    auto channel =
        ControlChannel::connect(config.sockets.mediator(), [&] { return stopper.stopping(); });
    if (!channel) {
      if (!waiting) spdlog::warn("waiting for airlock-fs: {}", channel.error());
      waiting = true;
      std::this_thread::sleep_for(retry_delay);
      continue;
    }
    waiting = false;
    link.control.take_up(*std::move(channel));
    // A stop that came before this had no connection to close.
    if (stopper.stopping()) break;
    sd_notify(0, "READY=1");
    spdlog::info("connected to airlock-fs");
    const auto why = link.control.run(
        [&](airlock::boundary::Received received) { link.mediator.handle(std::move(received)); });
    link.mediator.lost();
    if (!stopper.stopping()) spdlog::error("the control connection ended: {}", why);
  }
  stopper.set_current(nullptr);
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app{"airlockd: decides what a Nix build may ask of the Nix store, and asks for it."};
  std::string config_file = airlock::Config::default_file;
  app.add_option("--config", config_file, "Configuration file")->capture_default_str();
  app.set_version_flag("--version", AIRLOCK_VERSION);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == EXIT_SUCCESS ? EXIT_SUCCESS : EX_USAGE;
  }

  spdlog::set_default_logger(spdlog::stderr_logger_mt("airlockd"));
  spdlog::set_pattern("airlockd: %l: %v");
  const auto config = airlock::Config::load(config_file);
  if (!config) {
    spdlog::error("{}", config.error());
    return EX_CONFIG;
  }
  // It parses hostile bytes: whoever starts it, it runs as its own user with no capability.
  const auto account = airlock::find_local_account(config->user, config->group);
  const auto dropped = account.and_then(airlock::become);
  if (!dropped) {
    spdlog::error("{}", dropped.error());
    return EX_CONFIG;
  }
  raise_descriptor_limit();
  Stopper stopper;
  const auto ledger = airlock::open_ledger(config->ledger, config->limits.ledger_days);
  if (!ledger) {
    spdlog::error("{}", ledger.error());
    return EXIT_FAILURE;
  }
  serve(*config, **ledger, stopper);
  return EXIT_SUCCESS;
}
