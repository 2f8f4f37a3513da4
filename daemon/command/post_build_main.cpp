// nix.conf's post-build-hook. Runs after every build that succeeded; nearly all of them owe
// nothing.

#include <unistd.h>

#include <cstdlib>

#include "daemon/command/chained.hpp"
#include "daemon/command/delegate.hpp"
#include "daemon/command/owing.hpp"
#include "daemon/command/text.hpp"

int main() {
  using namespace airlock;
  const auto config = Config::load();
  if (!config) {
    command::complain(config.error());
    return command::failure;
  }
  const char* derivation = std::getenv("DRV_PATH");
  if (derivation == nullptr) {
    command::complain("DRV_PATH is not set: nix-daemon runs this hook");
    return command::usage;
  }
  if (command::may_owe(*config, derivation) || command::amended_lately(*config)) {
    command::complain(command::become_airlock({"hook", "post-build"}));
    return command::failure;
  }
  if (config->post_build_hook.empty()) return command::success;
  command::complain(command::exec({config->post_build_hook, {}}));
  return command::failure;
}
