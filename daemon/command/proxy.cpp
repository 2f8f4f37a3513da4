#include "daemon/command/proxy.hpp"

#include <fmt/format.h>
#include <pthread.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>
#include <systemd/sd-daemon.h>

#include <csignal>
#include <cstdlib>
#include <memory>

#include "daemon/command/operation_record.hpp"
#include "daemon/command/text.hpp"
#include "daemon/mediator/proxy.hpp"

namespace airlock::command {

namespace {

void block_signals() {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGINT);
  ::pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  ::signal(SIGPIPE, SIG_IGN);
}

tl::expected<ProxyOptions, std::string> options_of(const Config& config, const Proxy& wanted) {
  ProxyOptions options;
  options.listen = wanted.listen;
  options.mode = wanted.mode;
  options.profile = wanted.observe ? Profile::observe : Profile::strict;
  for (const auto& root : wanted.roots) {
    auto path = config.layout.parse(root);
    if (!path) return tl::unexpected("--root: " + path.error());
    options.roots.insert(*std::move(path));
  }
  // Somebody else's socket may have another store behind it than the one that lies here.
  options.use_database =
      std::getenv("NIX_STATE_DIR") != nullptr || config.upstream == config.layout.daemon_socket();
  return options;
}

}  // namespace

int proxy(Config config, const Proxy& wanted) {
  if (!wanted.upstream.empty()) config.upstream = wanted.upstream;
  if (config.upstream.empty()) config.upstream = config.layout.daemon_socket();
  const auto options = options_of(config, wanted);
  if (!options) {
    complain(options.error());
    return usage;
  }
  const auto record = OperationRecord::open(wanted.record);
  if (!record) {
    complain(record.error());
    return failure;
  }
  spdlog::set_default_logger(spdlog::stderr_logger_mt("airlock"));
  spdlog::set_pattern("airlock: %l: %v");
  spdlog::set_level(wanted.verbose ? spdlog::level::info : spdlog::level::err);
  block_signals();
  const auto served = serve_proxy(config, *options, **record, [&] {
    ::sd_notify(0, "READY=1");
    put(STDERR_FILENO,
        fmt::format("airlock: serving {} for {}\n", options->listen, config.upstream));
  });
  if (served) return success;
  complain(served.error());
  return failure;
}

}  // namespace airlock::command
