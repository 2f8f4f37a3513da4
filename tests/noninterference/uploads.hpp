#pragma once

#include "tests/noninterference/world.hpp"

namespace noninterference {

// Each makes one operation that uploads: what is to be added, mostly right.
Exchange add_content(const char* name, World& world, Dice& dice, airlock::wire::Version version);
Exchange add_text(const char* name, World& world, Dice& dice, airlock::wire::Version version);
Exchange add_derivation(const char* name, World& world, Dice& dice, airlock::wire::Version version);
Exchange add_derivation_as_file(const char* name, World& world, Dice& dice,
                                airlock::wire::Version version);
Exchange add_archive(const char* name, World& world, Dice& dice, airlock::wire::Version version);
Exchange add_archives(const char* name, World& world, Dice& dice, airlock::wire::Version version);
Exchange import_paths(const char* name, World& world, Dice& dice, airlock::wire::Version version);
Exchange add_log(const char* name, World& world, Dice& dice, airlock::wire::Version version);

}  // namespace noninterference
