#pragma once

#include "daemon/guest/call.hpp"

namespace airlock::guest {

/// Stands in for the program further down PATH: answers a call that is closed over visible inputs
/// with the evaluation's derivation, and runs any other as it is, as it does one whose evaluation
/// failed. Returns the exit status.
[[nodiscard]] int drop_in(Program program, int argc, char** argv);

}  // namespace airlock::guest
