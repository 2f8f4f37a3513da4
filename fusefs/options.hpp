#pragma once

#include <cstddef>
#include <string>

#include "fusefs/boundary/channel.hpp"
#include "fusefs/view/features.hpp"

namespace airlock::fusefs {

/// What airlock-fs is started with.
struct Options {
  boundary::SocketPaths sockets;
  std::string user = "airlock";
  std::string store_dir;
  std::string state_dir;
  std::string settle_program;
  std::string guest;  ///< the program that every sandbox finds in airlock/bin
  bool use_peerpidfd = true;
  bool use_links = true;
  ViewFeatures view;
  std::size_t most_nodes = 4'000'000;  ///< of the view, that the kernel knows at once
  bool verbose = false;
};

/// The result of reading a command line: options, or the exit status after what was to be said.
struct CommandLine {
  Options options;
  bool run = false;
  int status = 0;
};

[[nodiscard]] CommandLine parse_command_line(int argc, char** argv);

}  // namespace airlock::fusefs
