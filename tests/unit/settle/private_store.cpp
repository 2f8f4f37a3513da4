#include "tests/unit/settle/private_store.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <sstream>
#include <stdexcept>

namespace airlock::test {

namespace fs = std::filesystem;

namespace {

struct Result {
  std::string printed;
  int status;
};

Result shell(const std::string& command) {
  Result result;
  FILE* pipe = ::popen(command.c_str(), "re");  // NOLINT(cert-env33-c)
  if (pipe == nullptr) throw std::runtime_error("cannot run a shell");
  std::array<char, 4096> buffer{};
  while (const std::size_t got = ::fread(buffer.data(), 1, buffer.size(), pipe))
    result.printed.append(buffer.data(), got);
  result.status = ::pclose(pipe);
  while (result.printed.ends_with('\n')) result.printed.pop_back();
  return result;
}

}  // namespace

std::string PrivateStore::unavailable() {
  if (::geteuid() != 0) return "needs root, as Nix's own stores belong to it";
  if (shell("command -v nix-store").status != 0) return "needs Nix's programs in PATH";
  return "";
}

PrivateStore::PrivateStore() {
  std::string name = "/tmp/airlock-settle-XXXXXX";
  folder_ = ::mkdtemp(name.data());
  fs::permissions(folder_, fs::perms(0755));
  layout_ = {folder_ / "store", folder_ / "state", folder_ / "conf"};
  fs::create_directories(layout_.store_dir);
  fs::create_directories(layout_.conf_dir);
  fs::create_directories(layout_.debts());
  const auto chowned = ::chown(layout_.debts().c_str(), account().uid, account().gid);
  if (chowned != 0) throw std::runtime_error("cannot give the debts away");
  configure(
      "build-users-group =\nsandbox = false\nsubstituters =\n"
      "experimental-features = nix-command\nnarinfo-cache-positive-ttl = 0\n");
  run("nix-store --init");
}

PrivateStore::~PrivateStore() {
  (void)shell("chmod -R u+w " + folder_.string());
  fs::remove_all(folder_);
}

std::string PrivateStore::run(const std::string& command) const {
  const Result result = shell(
      fmt::format("unset NIX_REMOTE NIX_CONFIG NIX_PATH; export NIX_STORE_DIR={} NIX_STATE_DIR={} "
                  "NIX_CONF_DIR={} NIX_LOG_DIR={}/log HOME={}; exec 2>&1; {}",
                  layout_.store_dir, layout_.state_dir, layout_.conf_dir, folder_.string(),
                  folder_.string(), command));
  if (result.status != 0)
    throw std::runtime_error(
        fmt::format("{}: status {}: {}", command, result.status, result.printed));
  return result.printed;
}

bool PrivateStore::succeeds(const std::string& command) const {
  try {
    run(command);
    return true;
  } catch (const std::runtime_error&) {
    return false;
  }
}

StorePath PrivateStore::add(const std::string& name, const std::string& content) const {
  const fs::path file = folder_ / name;
  std::ofstream(file) << content;
  auto path = layout_.parse(run("nix-store --add " + file.string()));
  fs::remove(file);
  return path.value();
}

StorePath PrivateStore::instantiate(const std::string& attributes) const {
  std::ofstream(folder_ / "outer.nix") << fmt::format(
      "derivation (rec {{ name = \"outer\"; system = builtins.currentSystem; builder = "
      "\"/bin/sh\"; "
      "PATH = \"/bin:/usr/bin\"; script = \"echo > $out\"; args = [ \"-ec\" script ]; }} // (let a "
      "= {}; in "
      "a // {{ args = [ \"-ec\" a.script ]; }}))\n",
      attributes);
  return layout_
      .parse(run(fmt::format("nix-instantiate {}/outer.nix 2>/dev/null", folder_.string())))
      .value();
}

StorePath PrivateStore::build(const std::string& attributes) const {
  StorePath derivation = instantiate(attributes);
  run("nix-store --realise " + layout_.print(derivation));
  return derivation;
}

StorePath PrivateStore::output(const StorePath& derivation, const std::string& name) const {
  return layout_
      .parse(run(fmt::format("nix-store -q --binding {} {}", name, layout_.print(derivation))))
      .value();
}

void PrivateStore::owe(const StorePath& derivation, const std::set<StorePath>& granted) const {
  const fs::path debt = fs::path(layout_.debts()) / derivation.base();
  fs::create_directories(debt);
  fs::create_symlink(layout_.print(derivation), debt / "derivation");
  for (const StorePath& path : granted) fs::create_symlink(layout_.print(path), debt / path.base());
  run(fmt::format("chown -hR {}:{} {}", account().uid, account().gid, debt.string()));
}

bool PrivateStore::owes(const StorePath& derivation) const {
  return fs::exists(fs::path(layout_.debts()) / derivation.base());
}

std::set<StorePath> PrivateStore::references(const StorePath& path) const {
  std::istringstream lines(run("nix-store -q --references " + layout_.print(path)));
  std::set<StorePath> references;
  for (std::string line; std::getline(lines, line);) references.insert(layout_.parse(line).value());
  return references;
}

bool PrivateStore::is_valid(const StorePath& path) const {
  return succeeds("nix-store --check-validity " + layout_.print(path));
}

bool PrivateStore::verifies() const {
  return succeeds("nix-store --verify --check-contents");
}

void PrivateStore::configure(const std::string& lines) const {
  std::ofstream(fs::path(layout_.conf_dir) / "nix.conf", std::ios::app) << lines;
}

}  // namespace airlock::test
