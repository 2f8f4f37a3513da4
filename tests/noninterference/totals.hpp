#pragma once

#include <cstdint>
#include <map>
#include <ostream>
#include <string>

#include "tests/noninterference/channel.hpp"
#include "tests/noninterference/world.hpp"

namespace noninterference {

/// What was done, to be printed.
struct Totals {
  struct Count {
    std::uint64_t sent = 0;
    std::uint64_t refused = 0;
  };
  std::map<std::string, Count> operations;
  std::map<std::string, std::map<std::string, std::uint64_t>> builds;  ///< kind, outcome
  std::map<std::string, std::uint64_t> condemnations;                  ///< by cause and side
  std::map<std::string, std::uint64_t> versions;
  std::uint64_t sequences = 0;
  std::uint64_t interleaved = 0;

  /// A build that fails is not a refusal.
  void count(const Exchange& exchange, const Outcome& outcome);
  [[nodiscard]] Count all() const;
  void print(std::ostream& to) const;
};

}  // namespace noninterference
