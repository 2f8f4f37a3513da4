#include "tests/noninterference/totals.hpp"

#include <fmt/format.h>

namespace noninterference {

void Totals::count(const Exchange& exchange, const Outcome& outcome) {
  auto& count = operations[exchange.name];
  ++count.sent;
  const bool by_airlock = outcome.message.starts_with("airlock");
  if (outcome.end == End::closed || (outcome.end == End::error && (by_airlock || !exchange.builds)))
    ++count.refused;
}

Totals::Count Totals::all() const {
  Count sum;
  for (const auto& [name, count] : operations) {
    sum.sent += count.sent;
    sum.refused += count.refused;
  }
  return sum;
}

void Totals::print(std::ostream& to) const {
  to << fmt::format("{:28} {:>7} {:>12}\n", "operation", "sent", "not refused");
  for (const auto& [name, count] : operations)
    to << fmt::format(
        "{:28} {:7} {:11.1f}%\n", name, count.sent,
        100.0 * static_cast<double>(count.sent - count.refused) / static_cast<double>(count.sent));
  to << "builds by kind and outcome:\n";
  for (const auto& [kind, outcomes] : builds) {
    to << fmt::format("  {:24}", kind);
    for (const auto& [outcome, n] : outcomes) to << fmt::format(" {} {}", outcome, n);
    to << "\n";
  }
  to << "sessions condemned, by cause:\n";
  for (const auto& [cause, n] : condemnations) to << fmt::format("  {:4} {}\n", n, cause);
  to << "connections by protocol:";
  for (const auto& [version, n] : versions) to << fmt::format(" {} {}", version, n);
  const auto sum = all();
  to << fmt::format(
      "\n{} sequences, {} operations in the middle of another connection's upload\n"
      "{} operations, {} not refused ({:.1f}%)\n",
      sequences, interleaved, sum.sent, sum.sent - sum.refused,
      100.0 * static_cast<double>(sum.sent - sum.refused) / static_cast<double>(sum.sent));
}

}  // namespace noninterference
