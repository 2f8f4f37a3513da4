// A whole connection in profile strict: any client, and a daemon that knows more than it may say.
#include "tests/fuzz/conversation.hpp"

using namespace airlock;

namespace {

constexpr std::string_view secret = "secret";

/// The daemon has what no sandbox may see: of the visible path, and a path beside it.
void add_secrets(fakes::World& world) {
  const wire::PathInfo info{policy::fake_path("secret.drv"),
                            std::string(64, 'a'),
                            {world.visible},
                            1700000000,
                            7,
                            true,
                            {"secret:signature"},
                            {}};
  world.upstream_state.infos[world.visible] = info;
  world.upstream_state.infos[world.hidden] = info;
  world.upstream_state.infos[policy::fake_path("secret")] = info;
}

bool has(std::string_view text, std::string_view part) {
  return text.find(part) != std::string_view::npos;
}

}  // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  fuzz::Input input(data, size);
  const auto version = input.version();
  const auto choices = input.byte();
  const bool greets = (choices & 1) == 0;
  fuzz::Conversation conversation;
  auto& world = conversation.world;
  add_secrets(world);
  const auto inner = world.add_derivation("inner");
  if ((choices & 2) != 0) world.upstream_state.will_build = {inner};
  world.upstream_state.status = static_cast<wire::BuildStatus>((choices >> 2) % 16);
  world.upstream_state.reachable = (choices & 64) == 0;

  const auto said = (greets ? fuzz::client_greeting(version) : std::string()).append(input.rest());
  const auto heard = conversation.run(said);

  fuzz::require(!has(heard, secret) || has(said, secret), "a sandbox learns no secret");
  fuzz::require(!has(heard, "host:sig") || has(said, "host:sig"), "no signature is shown");
  fuzz::require(!has(heard, world.hidden.base()) || has(said, world.hidden.hash_part()),
                "a hidden path is named to nobody who does not name it");
  fuzz::require(!world.session.visible(world.hidden), "a hidden path stays hidden");
  fuzz::require(world.trace.count("grant " + world.hidden.base()) == 0, "it is not granted");
  return 0;
}
