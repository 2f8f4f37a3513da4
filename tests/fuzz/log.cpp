// The messages between a request and its reply.
#include "daemon/wire/log.hpp"

#include "tests/fuzz/fuzz.hpp"

using namespace airlock;

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  fuzz::Input input(data, size);
  const auto version = input.version();
  fuzz::round_trip(
      input.rest(), [&](wire::Reader& from) { return wire::read_log_message(from, version); },
      [&](wire::Writer& to, const wire::LogMessage& message) {
        wire::write_log_message(to, message, version);
      });
  return 0;
}
