// What a daemon answers to every operation, in every version that has it.
#include "daemon/core/nar.hpp"
#include "daemon/mediator/operations.hpp"
#include "tests/fuzz/fuzz.hpp"
#include "tests/support/requests.hpp"

using namespace airlock;

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  fuzz::Input input(data, size);
  const auto& operation = operations()[input.byte() % operations().size()];
  const auto version = input.version(operation.since);
  test::for_request(operation.op, [&]<class R>() {
    using Reply = typename R::Reply;
    if constexpr (!std::is_same_v<Reply, wire::Archive>)  // the target `nar`
      fuzz::round_trip(
          input.rest(), [&](wire::Reader& from) { return Reply::decode(from, version); },
          [&](wire::Writer& to, const Reply& reply) { reply.encode(to, version); });
  });
  return 0;
}
