// Usage: noninterference FOLDER OPERATIONS. The folder is what noninterference.sh has made; at
// least so many operations are sent. AIRLOCK_SEED repeats a run.
#include <fmt/format.h>
#include <rapidcheck.h>

#include <chrono>
#include <cmath>
#include <csignal>
#include <cstdlib>
#include <iostream>
#include <optional>
#include <random>

#include "tests/noninterference/pair.hpp"

namespace noninterference {
namespace {

constexpr int longest_sequence = 160;
constexpr std::chrono::seconds time_to_shrink{60};
/// Of what is sent so much has to get an answer, or the comparison says little.
constexpr double least_not_refused = 0.5;
/// Of all sequences at most so many may end by a condemnation, or it hides what it should show.
constexpr double most_condemned = 0.3;

struct Plan {
  std::uint64_t world;
  std::vector<std::uint64_t> steps;
};

class Property {
 public:
  Property(Pair& pair, const Hosts& hosts) : pair_(pair), hosts_(hosts) {}

  void operator()(std::uint64_t seed, const std::vector<std::uint64_t>& steps) {
    const auto now = std::chrono::steady_clock::now();
    if (failed_ && now - *failed_ > time_to_shrink) return;  // enough: what is found is shown
    // Every run makes derivations of its own: what the last one built is there now.
    World world(hosts_, std::to_string(++runs_), seed);
    try {
      pair_.run(world, steps);
    } catch (const std::exception& error) {
      if (!failed_) failed_ = now;
      what = error.what();
      story = pair_.story();
      RC_FAIL(what);
    }
  }
  std::string what{};  ///< of the smallest failure
  std::vector<std::string> story{};

 private:
  Pair& pair_;
  const Hosts& hosts_;
  std::uint64_t runs_ = 0;
  std::optional<std::chrono::steady_clock::time_point> failed_;
};

rc::Gen<std::uint64_t> any_number() {
  return rc::gen::noShrink(rc::gen::resize(rc::kNominalSize, rc::gen::arbitrary<std::uint64_t>()));
}

/// A share of so many sequences that chance decided, and three standard deviations more: of a share
/// that is kept, one run in a thousand is over it.
double most_by_chance(double share, std::uint64_t sequences) {
  const auto n = static_cast<double>(sequences);
  return share * n + 3 * std::sqrt(share * (1 - share) * n);
}

/// Every call is another seed's worth of sequences.
bool check(Property& property, std::uint64_t seed) {
  rc::detail::TestParams params;
  params.seed = seed;
  params.maxSuccess = 10;
  const auto result = rc::detail::checkTestable(
      [&] {
        const auto world = *any_number();
        const auto steps = *rc::gen::resize(
            longest_sequence, rc::gen::container<std::vector<std::uint64_t>>(any_number()));
        property(world, steps);
      },
      rc::detail::TestMetadata{"noninterference", "noninterference"}, params);
  rc::detail::printResultMessage(result, std::cerr);
  return result.is<rc::detail::SuccessResult>();
}

int run(const std::string& folder, std::uint64_t wanted) {
  const auto* given = std::getenv("AIRLOCK_SEED");
  auto seed = given != nullptr ? std::stoull(given) : std::uint64_t{std::random_device{}()};
  std::cout << "seed " << seed << std::endl;
  const auto hosts = read_hosts(folder);
  Totals totals;
  Pair pair(folder, hosts, totals);
  Property property(pair, hosts);
  bool holds = true;
  for (; holds && totals.all().sent < wanted; ++seed) holds = check(property, seed);
  totals.print(std::cout);
  if (!holds) {
    std::cout << "the smallest sequence found that shows it:\n";
    for (const auto& line : property.story) std::cout << "  " << line << "\n";
    std::cout << property.what << "\nthe property does NOT hold; AIRLOCK_SEED=" << seed - 1
              << " shows it again" << std::endl;
    return 1;
  }
  const auto sum = totals.all();
  std::uint64_t condemned = 0;
  for (const auto& [cause, n] : totals.condemnations) condemned += n;
  if (static_cast<double>(sum.refused) > (1 - least_not_refused) * static_cast<double>(sum.sent)) {
    std::cout << "too much was refused" << std::endl;
    return 1;
  }
  if (static_cast<double>(condemned) > most_by_chance(most_condemned, totals.sequences)) {
    std::cout << "too many sessions were condemned" << std::endl;
    return 1;
  }
  return 0;
}

}  // namespace
}  // namespace noninterference

int main(int argc, char** argv) {
  if (argc != 3) {
    std::cerr << "usage: noninterference FOLDER OPERATIONS" << std::endl;
    return 2;
  }
  ::signal(SIGPIPE, SIG_IGN);
  try {
    return noninterference::run(argv[1], std::stoull(argv[2]));
  } catch (const std::exception& error) {
    std::cerr << "noninterference: " << error.what() << std::endl;
    return 2;
  }
}
