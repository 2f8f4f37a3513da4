#pragma once

#include <string>
#include <tl/expected.hpp>
#include <vector>

namespace airlock::command {

/// A hook of the administrator's own that airlock's hook stands in front of.
struct Chained {
  std::string program;
  std::vector<std::string> arguments;
};

/// Becomes the program, with this process's descriptors and environment. Returns only when that
/// failed: the sentence for the user.
[[nodiscard]] std::string exec(const Chained& chained);

struct Ran {
  int status = 0;       ///< of exit; 128 + the signal's number when one ended it
  std::string printed;  ///< on standard output, cut off at 1 MiB
};

/// Runs the program and collects what it prints; standard error is passed through.
[[nodiscard]] tl::expected<Ran, std::string> run(const Chained& chained);

}  // namespace airlock::command
