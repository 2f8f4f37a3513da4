// What the process that looks at a builder's outputs reports to root.
#include "daemon/settle/inspection.hpp"

#include "tests/fuzz/fuzz.hpp"

using namespace airlock;

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const Outputs outputs{
      {"dev", StorePath::parse("00000000000000000000000000000000-a-dev").value()},
      {"out", StorePath::parse("11111111111111111111111111111111-a").value()}};
  const auto inspection = decode(fuzz::Input(data, size).rest(), outputs);
  if (!inspection) {
    fuzz::require(inspection.error().find('\n') == std::string::npos, "an error is one line");
    return 0;
  }
  fuzz::require(inspection->size() == outputs.size(), "it speaks of the outputs and nothing else");
  const auto again = decode(encode(*inspection), outputs);
  fuzz::require(again == inspection, "what was encoded is decoded");
  return 0;
}
