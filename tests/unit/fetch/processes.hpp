#pragma once

#include <sys/types.h>

#include <boost/filesystem.hpp>
#include <fstream>
#include <string>

namespace airlock::test {

/// A process that this one has started and that still runs; 0 if there is none.
inline pid_t child_of(pid_t parent) {
  namespace fs = boost::filesystem;
  for (const auto& each : fs::directory_iterator("/proc")) {
    std::ifstream status((each.path() / "status").string());
    char state = 0;
    pid_t its_parent = 0;
    for (std::string word; its_parent == 0 && status >> word;) {
      if (word == "State:") status >> state;
      if (word == "PPid:") status >> its_parent;
    }
    if (its_parent == parent && state != 'Z') return std::stoi(each.path().filename().string());
  }
  return 0;
}

}  // namespace airlock::test
