#pragma once

#include <vector>

#include "tests/noninterference/world.hpp"

namespace noninterference {

/// One operation with arguments from the world's pools, chosen by the dice.
[[nodiscard]] Exchange any_operation(World& world, Dice& dice, airlock::wire::Version version);
/// One that nothing follows from, for in between.
[[nodiscard]] Exchange small_question(const World& world, Dice& dice,
                                      airlock::wire::Version version);
/// What makes every build end after a second.
[[nodiscard]] Exchange time_limit(Dice& dice, const World& world, airlock::wire::Version version);
[[nodiscard]] Exchange build_of(World& world, const Inner& inner, airlock::wire::Version version);

}  // namespace noninterference
