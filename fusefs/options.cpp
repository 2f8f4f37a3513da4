#include "fusefs/options.hpp"

#include <sysexits.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <vector>

namespace airlock::fusefs {
namespace {

std::string environment(const char* name, const char* otherwise) {
  const char* value = std::getenv(name);
  return value != nullptr && *value != '\0' ? value : otherwise;
}

/// The airlock command that was installed beside this program.
std::string default_settle_program() {
  std::error_code error;
  const auto self = std::filesystem::read_symlink("/proc/self/exe", error);
  const auto beside = self.parent_path() / "airlock";
  return !error && std::filesystem::exists(beside, error) ? beside.string() : std::string();
}

/// The guest program that was installed, or built, with this one.
std::string default_guest() {
  std::error_code error;
  const auto self = std::filesystem::read_symlink("/proc/self/exe", error);
  return (self.parent_path().parent_path() / "libexec/airlock/airlock-guest").string();
}

/// An absolute path as it is compared and shown: no slash at the end.
std::string trim(std::string path) {
  while (path.size() > 1 && path.back() == '/') path.pop_back();
  return path;
}

}  // namespace

CommandLine parse_command_line(int argc, char** argv) {
  CommandLine line;
  Options& options = line.options;
  options.store_dir = environment("NIX_STORE_DIR", "/nix/store");
  options.state_dir = environment("NIX_STATE_DIR", "/nix/var/nix");
  options.settle_program = default_settle_program();
  options.guest = default_guest();
  std::vector<std::string> without;

  CLI::App app{
      "airlock's filesystem process: shows each build in the airlock its view of the store"};
  app.add_option("--run", options.sockets.run, "folder for sockets and the mount")
      ->capture_default_str();
  app.add_option("--user", options.user, "the user that airlockd runs as")->capture_default_str();
  app.add_option("--store", options.store_dir, "Nix's store folder")->capture_default_str();
  app.add_option("--state", options.state_dir, "Nix's state folder")->capture_default_str();
  app.add_option("--settle-program", options.settle_program,
                 "run as PROGRAM settle --derivation NAME when a build ended without its hook")
      ->capture_default_str();
  app.add_option("--guest", options.guest, "the static program that sandboxes find in airlock/bin")
      ->capture_default_str();
  app.add_option("--without", without,
                 "behave as if there were none of: peerpidfd, links, noopen, readdirplus, "
                 "cachedir, noopendir")
      ->delimiter(',');
  app.add_option("--nodes", options.most_nodes,
                 "how many files and folders of the view the kernel may know at once, 0.3 KB each")
      ->check(CLI::Range(std::size_t{1000}, std::size_t{1} << 40))
      ->capture_default_str();
  app.add_flag("--verbose", options.verbose, "log more");
  try {
    app.parse(argc, argv);
    for (const auto& feature : without) {
      if (feature == "peerpidfd") {
        options.use_peerpidfd = false;
      } else if (feature == "links") {
        options.use_links = false;
      } else if (feature == "noopen") {
        options.view.open_without_asking = false;
      } else if (feature == "readdirplus") {
        options.view.listings_with_attributes = false;
      } else if (feature == "cachedir") {
        options.view.cached_listings = false;
      } else if (feature == "noopendir") {
        options.view.list_without_asking = false;
      } else {
        throw CLI::ValidationError(
            "--without", "knows peerpidfd, links, noopen, readdirplus, cachedir and noopendir");
      }
    }
    for (auto* path : {&options.sockets.run, &options.store_dir, &options.state_dir}) {
      if (path->empty() || path->front() != '/') {
        throw CLI::ValidationError(*path, "is not an absolute path");
      }
      *path = trim(*path);
    }
    line.run = true;
  } catch (const CLI::ParseError& error) {
    line.status = app.exit(error) == EXIT_SUCCESS ? EXIT_SUCCESS : EX_USAGE;
  }
  return line;
}

}  // namespace airlock::fusefs
