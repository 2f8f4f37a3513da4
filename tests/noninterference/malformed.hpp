#pragma once

#include "tests/noninterference/world.hpp"

namespace noninterference {

/// What the protocol does not allow: it ends the connection.
Exchange malformed(const char* name, World& world, Dice& dice, airlock::wire::Version version);

}  // namespace noninterference
