// Build results, and what of them a sandbox is shown.
#include "daemon/wire/results.hpp"
#include "tests/fuzz/fuzz.hpp"

using namespace airlock;

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  fuzz::Input input(data, size);
  const auto version = input.version();
  StringSource source(input.rest());
  wire::Reader from(source, fuzz::layout, fuzz::caps);
  try {
    const auto target = wire::read_target(from, version);
    fuzz::require(target.build || (target.outputs.empty() && target.through.empty()),
                  "what is not built has no outputs");
    fuzz::require(!target.build || target.path.is_derivation(), "a derivation is built");
    StringSink printed;
    wire::Writer(printed, fuzz::layout).string(wire::print_target(fuzz::layout, target));
    StringSource again(printed.text());
    wire::Reader from_again(again, fuzz::layout, fuzz::caps);
    fuzz::require(wire::read_target(from_again, wire::newest) == target || !target.build,
                  "a target that is printed means what it meant");
    const auto result = wire::read_build_result(from, version);
    const auto normal = wire::normalised(result, fuzz::layout);
    fuzz::require(normal.succeeded() == result.succeeded(), "it succeeds or fails as before");
    fuzz::require(normal.built_outputs.size() == result.built_outputs.size(), "no output is lost");
    fuzz::require(normal.start_time == 0 && normal.times_built == 0 && !normal.cpu_user,
                  "what is the host's is not shown");
    fuzz::require(wire::normalised(normal, fuzz::layout) == normal, "normal stays normal");
  } catch (const ConnectionOver&) {
    return 0;
  }
  return 0;
}
