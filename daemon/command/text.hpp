#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace airlock::command {

/// Exit codes, as `airlock --help` lists them.
enum ExitCode : int {
  success = 0,
  failure = 1,
  unavailable = 3,  ///< airlock-fs does not answer, or airlockd is not connected
  usage = 64,       ///< the command line is wrong
  not_root = 77,    ///< only root may do this
};

/// Writes all of it to a descriptor; what cannot be written is lost. Without iostreams, for the
/// hooks' sake.
void put(int fd, std::string_view text);

/// "airlock: <sentence>" and a line end on standard error.
void complain(std::string_view sentence);

/// One line of printable ASCII, cut to `longest` bytes: for text from a process with less rights.
[[nodiscard]] std::string one_line(std::string_view text, std::size_t longest = 1000);

}  // namespace airlock::command
