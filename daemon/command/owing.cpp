#include "daemon/command/owing.hpp"

#include <sys/stat.h>

namespace airlock::command {

namespace {

bool exists(const std::string& name) {
  struct stat status {};
  return ::lstat(name.c_str(), &status) == 0;
}

}  // namespace

std::string session_record(const Config& config, const StorePath& derivation) {
  return config.sockets.private_folder() + "/sessions/" + derivation.base();
}

bool may_owe(const Config& config, const std::string& derivation) {
  const auto path = config.layout.parse(derivation);
  return path && (exists(config.layout.debts() + "/" + path->base()) ||
                  exists(session_record(config, *path)));
}

bool amended_lately(const Config& config) {
  return exists(config.layout.recent());
}

}  // namespace airlock::command
