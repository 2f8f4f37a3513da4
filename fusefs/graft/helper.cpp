#include "fusefs/graft/helper.hpp"

#include <spdlog/spdlog.h>
#include <sys/prctl.h>

#include <charconv>
#include <csignal>
#include <exception>
#include <iterator>
#include <optional>

#include "fusefs/boundary/channel.hpp"
#include "fusefs/graft/graft.hpp"
#include "fusefs/privileges.hpp"

namespace airlock::fusefs {
namespace {

using boundary::Channel;
using boundary::Message;
using boundary::MessageType;
using boundary::Received;

std::optional<std::uint64_t> parse_number(const std::string& text) {
  std::uint64_t value = 0;
  const auto* end = text.data() + text.size();
  const auto result = std::from_chars(text.data(), end, value);
  if (result.ec != std::errc() || result.ptr != end) return std::nullopt;
  return value;
}

const auto malformed = tl::unexpected<std::string>("a malformed request to the graft helper");

tl::expected<void, std::string> put_back(const Graft& graft, const Received& received) {
  const auto& strings = received.message.strings;
  if (strings.size() < 2 || !received.descriptor) return malformed;
  ViewRequest request{strings.front(), {}, received.descriptor.get()};
  for (auto text = std::next(strings.begin()); text != strings.end(); ++text) {
    const auto device = parse_number(*text);
    if (!device) return malformed;
    request.dead.push_back(*device);
  }
  return graft.put_back(request);
}

tl::expected<void, std::string> answer(const Graft& graft, const Received& received) {
  const auto& strings = received.message.strings;
  if (received.message.type == MessageType::session_resumed) return put_back(graft, received);
  if (received.message.type != MessageType::grant || strings.size() != 4) return malformed;
  const auto path = StorePath::parse(strings[0]);
  const auto derivation = StorePath::parse(strings[1]);
  const auto device = parse_number(strings[2]);
  const auto inode = parse_number(strings[3]);
  if (!path || !derivation || !device || !inode || !received.descriptor) return malformed;
  return graft.make({*path, *derivation, {*device, *inode}, received.descriptor.get()});
}

}  // namespace

int run_graft_helper(Fd socket, const GraftSources& sources, bool may_link) {
  // The channel's end tells the same, but not while a sandbox's filesystem keeps this waiting.
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  try {
    Channel channel(std::move(socket));
    const Graft graft(make_store_mounts(sources), sources, may_link);
    keep_graft_capabilities();
    if (!channel.send({MessageType::done, 0, 0, {}}, graft.store())) return 0;
    for (;;) {
      const auto received = channel.receive();
      if (!received) return 0;  // airlock-fs is gone
      const auto request = received->message.request;
      const auto result = answer(graft, *received);
      const Message reply = result ? Message{MessageType::succeeded, 0, request, {}}
                                   : Message{MessageType::failed, 0, request, {result.error()}};
      if (!channel.send(reply)) return 0;
    }
  } catch (const std::exception& error) {
    spdlog::error("graft helper: {}", error.what());
    return 1;
  }
}

}  // namespace airlock::fusefs
