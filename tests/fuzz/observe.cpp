// A whole connection in profile observe: any client, and any daemon.
#include "tests/fuzz/conversation.hpp"

using namespace airlock;

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  fuzz::Input input(data, size);
  const auto version = input.version();
  const bool greet = input.byte() % 2 == 0;
  std::size_t length = input.byte();
  length += std::size_t{256} * input.byte();
  const auto client = input.rest().substr(0, length);
  const auto daemon = input.rest().substr(client.size());
  const auto with = [&](std::string greeting, std::string_view rest) {
    if (!greet) greeting.clear();
    return greeting.append(rest);
  };
  fuzz::Conversation conversation;
  conversation.run(with(fuzz::client_greeting(version), client),
                   with(fuzz::daemon_greeting(version), daemon));
  for (const auto& verdict : conversation.world.ledger.verdicts())
    fuzz::require(!verdict.empty(), "every operation has a verdict");
  return 0;
}
