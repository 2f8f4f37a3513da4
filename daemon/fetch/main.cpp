// airlock-fetchd: fetches what lock files name, for airlockd. Starts as root, hides from itself
// what a fetch has no business with, and then is a user that owns nothing.
#include <curl/curl.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <systemd/sd-daemon.h>

#include <CLI/CLI.hpp>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <filesystem>

#include "daemon/config/account.hpp"
#include "daemon/fetch/seclusion.hpp"
#include "daemon/fetch/server.hpp"
#include "daemon/wire/unix_socket.hpp"

namespace {

using airlock::Account;
using airlock::Config;
using airlock::fetch::Done;

constexpr const char* working_folder = "/var/cache/airlock-fetch";

tl::unexpected<std::string> failed(const std::string& what) {
  return tl::unexpected(fmt::format("cannot {}: {}", what, std::strerror(errno)));
}

/// Only airlockd's user gets to the socket; the name is root's.
tl::expected<airlock::Fd, std::string> listen(const Config& config, const Account& client) {
  const auto folder = config.sockets.fetch_folder();
  if (::mkdir(folder.c_str(), 0750) != 0 && errno != EEXIST) return failed("make " + folder);
  if (::chown(folder.c_str(), 0, client.gid) != 0 || ::chmod(folder.c_str(), 0750) != 0)
    return failed("give " + folder + " to airlock's group");
  auto listening = airlock::wire::listen_unix(config.sockets.fetch(), 0600);
  if (listening && ::chown(config.sockets.fetch().c_str(), client.uid, client.gid) != 0)
    return failed("give the socket to airlock's user");
  return listening;
}

/// Emptied of what a crash may have left.
Done prepare_working_folder(const Account& own) {
  std::error_code error;
  std::filesystem::remove_all(working_folder, error);
  if (::mkdir(working_folder, 0700) != 0 && errno != EEXIST)
    return failed(std::string("make ") + working_folder);
  if (::lchown(working_folder, own.uid, own.gid) != 0 || ::chmod(working_folder, 0700) != 0)
    return failed(std::string("give away ") + working_folder);
  return {};
}

Done serve(const Config& config) {
  const auto client = airlock::find_local_account(config.user, config.group);
  if (!client) return tl::unexpected(client.error());
  const auto own = airlock::find_local_account(config.fetch.user, config.fetch.user);
  if (!own) return tl::unexpected(own.error());
  if (own->uid == client->uid)
    return tl::unexpected(std::string("fetch.user must be another user than airlockd's"));
  if (::geteuid() != 0)
    return tl::unexpected(std::string("airlock-fetchd must be started as root, which it gives up"));
  auto listening = listen(config, *client);
  if (!listening) return tl::unexpected(listening.error());
  if (auto done = prepare_working_folder(*own); !done) return done;
  if (auto done = airlock::fetch::seclude(config); !done) return done;
  if (auto done = airlock::become(*own); !done) return done;
  if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
    return tl::unexpected(std::string("libcurl cannot be used"));
  ::signal(SIGPIPE, SIG_IGN);
  ::umask(0077);
  airlock::fetch::Server server(config, *std::move(listening), client->uid, working_folder);
  sd_notify(0, "READY=1");
  spdlog::info("fetches what lock files name");
  server.run();
  return {};
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app{"airlock-fetchd: fetches what the lock files of a build name."};
  std::string config_file = Config::default_file;
  app.add_option("--config", config_file, "Configuration file")->capture_default_str();
  app.set_version_flag("--version", AIRLOCK_VERSION);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == EXIT_SUCCESS ? EXIT_SUCCESS : EX_USAGE;
  }

  spdlog::set_default_logger(spdlog::stderr_logger_mt("airlock-fetchd"));
  spdlog::set_pattern("airlock-fetchd: %l: %v");
  const auto config = Config::load(config_file);
  if (!config) {
    spdlog::error("{}", config.error());
    return EX_CONFIG;
  }
  if (const auto done = serve(*config); !done) {
    spdlog::error("{}", done.error());
    return EX_CONFIG;
  }
  return EXIT_SUCCESS;
}
