// The arguments of every operation, in every version that has it.
#include "daemon/mediator/operations.hpp"
#include "tests/fuzz/fuzz.hpp"
#include "tests/support/requests.hpp"

using namespace airlock;

namespace {

/// A row without a type in the list would only be decoded, never encoded again.
bool list_is_complete() {
  const auto table = operations();
  const auto& listed = test::AllRequests::numbers;
  return std::equal(table.begin(), table.end(), listed.begin(), listed.end(),
                    [](const Operation& row, wire::Op number) { return row.op == number; });
}

}  // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const bool complete = list_is_complete();
  fuzz::require(complete, "tests/support/requests.hpp has all operations, in their order");
  fuzz::Input input(data, size);
  const auto& operation = operations()[input.byte() % operations().size()];
  const auto version = input.version(operation.since);
  test::for_request(operation.op, [&]<class R>() {
    const bool read = fuzz::round_trip(
        input.rest(), [&](wire::Reader& from) { return R::decode(from, version); },
        [&](wire::Writer& to, const R& request) { request.encode(to, fuzz::layout, version); });
    if (!read) return;
    StringSource source(input.rest());
    wire::Reader from(source, fuzz::layout, fuzz::caps);
    const auto subject = operation.decode(from, version)->subject(fuzz::layout);
    fuzz::require(subject.size() <= 4096, "a subject is short");
    for (const char c : subject) fuzz::require(c >= 0x20 && c < 0x7f, "a subject is printable");
  });
  return 0;
}
