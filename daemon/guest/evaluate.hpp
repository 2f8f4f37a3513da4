#pragma once

#include <string>
#include <vector>

namespace airlock::guest {

/// `airlock evaluate PROGRAM ARGUMENT...`, the builder of an evaluation: runs the evaluator and
/// writes the derivations that it prints to $out. Returns the exit status.
[[nodiscard]] int evaluate(std::vector<std::string> words);

}  // namespace airlock::guest
