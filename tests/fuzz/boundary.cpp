// What crosses the line between airlock-fs and airlockd.
#include "fusefs/boundary/message.hpp"
#include "tests/fuzz/fuzz.hpp"

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace airlock;
  const auto packet = fuzz::Input(data, size).rest();
  const auto message = boundary::decode(packet);
  if (message)
    fuzz::require(boundary::encode(*message) == packet, "only what encode makes is decoded");
  return 0;
}
