// nix.conf's pre-build-hook. Runs before every build, so it is static and starts nothing it may not
// need; `airlock hook pre-build` is the same hook with the whole name service at hand.

#include "daemon/command/delegate.hpp"
#include "daemon/command/pre_build.hpp"
#include "daemon/command/text.hpp"

int main(int argc, char** argv) {
  using namespace airlock;
  if (argc < 2 || argc > 3) {
    command::complain("usage: pre-build-hook DERIVATION [CHROOT] (nix-daemon runs it)");
    return command::usage;
  }
  const auto config = Config::load();
  if (!config) return command::refuse_build(config.error());
  const auto account = find_local_account(config->user, config->group);
  if (!account) {
    std::vector<std::string> arguments{"hook", "pre-build"};
    arguments.insert(arguments.end(), argv + 1, argv + argc);
    return command::refuse_build(command::become_airlock(arguments));
  }
  return command::pre_build(*config, *account, {argv[1], argc > 2 ? argv[2] : ""});
}
