// What airlockd may ask of a session. airlockd talks to sandboxes all day, so this is written as if
// a sandbox had taken it over: a request names a session that root announced and store paths by
// base name, is checked here, and reaches nothing but that session's sandbox.

#include <spdlog/spdlog.h>
#include <sys/socket.h>

#include <span>

#include "fusefs/boundary/view_words.hpp"
#include "fusefs/condemn.hpp"
#include "fusefs/sessions.hpp"

namespace airlock::fusefs {
namespace {

using boundary::Message;
using boundary::MessageType;

constexpr std::size_t max_waiting_grafts = 16384;

/// Every string as a store path; the error is one sentence.
tl::expected<std::vector<StorePath>, std::string> parse_paths(
    const std::vector<std::string>& bases) {
  std::vector<StorePath> paths;
  paths.reserve(bases.size());
  for (const auto& base : bases) {
    auto path = StorePath::parse(base);
    if (!path) return tl::unexpected(path.error());
    paths.push_back(std::move(*path));
  }
  return paths;
}

using Strings = std::span<const std::string>;

/// name, base, name, base, …
tl::expected<std::vector<Channel>, std::string> parse_channels(Strings strings) {
  if (strings.size() % 2 != 0 || strings.size() / 2 > boundary::max_channels) {
    return tl::unexpected<std::string>("the search path is malformed or too long");
  }
  std::vector<Channel> channels;
  for (std::size_t i = 0; i < strings.size(); i += 2) {
    if (!boundary::is_channel_name(strings[i])) {
      return tl::unexpected<std::string>(
          "an entry of the search path has a name that is not allowed");
    }
    auto target = StorePath::parse(strings[i + 1]);
    if (!target) return tl::unexpected(target.error());
    channels.push_back({strings[i], std::move(*target)});
  }
  return channels;
}

/// name, value, name, value, …
tl::expected<std::vector<NixSetting>, std::string> parse_settings(Strings strings) {
  std::vector<NixSetting> settings;
  std::size_t bytes = 0;
  for (const auto& each : strings) bytes += each.size();
  if (strings.size() % 2 != 0 || strings.size() / 2 > boundary::max_settings ||
      bytes > boundary::max_settings_bytes) {
    return tl::unexpected<std::string>("the settings are malformed or too long");
  }
  for (std::size_t i = 0; i < strings.size(); i += 2) {
    if (!boundary::is_setting_name(strings[i]) || !boundary::is_setting_value(strings[i + 1])) {
      return tl::unexpected<std::string>("a setting has a name or a value that is not allowed");
    }
    settings.push_back({strings[i], strings[i + 1]});
  }
  return settings;
}

/// The search path, and behind an empty string, which is no entry's name, the settings.
tl::expected<ViewContent, std::string> parse_content(const std::vector<std::string>& strings) {
  Strings settings;
  Strings channels(strings);
  for (std::size_t i = 0; i < strings.size(); i += 2) {
    if (!strings[i].empty()) continue;
    settings = channels.subspan(i + 1);
    channels = channels.first(i);
    break;
  }
  auto parsed = parse_channels(channels);
  if (!parsed) return tl::unexpected(parsed.error());
  auto lines = parse_settings(settings);
  if (!lines) return tl::unexpected(lines.error());
  return ViewContent{*std::move(parsed), *std::move(lines)};
}

std::string first_sentence(const Message& message) {
  return message.strings.empty() ? "no reason was given" : printable(message.strings.front());
}

}  // namespace

void Sessions::on_mediator_message(const boundary::Received& received) {
  const Message& message = received.message;
  Session* session = find(message.session);
  const bool is_its_own = session != nullptr && session->told_mediator;
  if (!is_its_own) {
    if (message.request != 0) fail(message, "there is no such session");
    return;
  }
  switch (message.type) {
    case MessageType::session_ready:
      return ready(*session, message);
    case MessageType::session_refused:
      if (session->state != Session::State::opening) return;
      return message.strings.empty() ? decline(*session)
                                     : refuse(*session, first_sentence(message));
    case MessageType::reveal:
      return reveal(*session, message);
    case MessageType::grant:
      return grant(*session, message);
    case MessageType::verify:
      return verify(*session, message, received.descriptor);
    case MessageType::condemn:
      succeed(message);
      return condemn(*session, first_sentence(message));
    default:
      spdlog::warn("control: airlockd sent a message of type {}: ignored",
                   static_cast<std::uint32_t>(message.type));
  }
}

void Sessions::ready(Session& session, const Message& message) {
  if (session.state != Session::State::opening) {
    if (message.request != 0) fail(message, "the session is not opening");
    return;
  }
  const auto content = parse_content(message.strings);
  if (!content) {
    if (message.request != 0) fail(message, content.error());
    return refuse(session, content.error());
  }
  parts_.tree.publish(session.derivation, *content);
  if (session.adopted) return resume(session, message);
  const auto answer = std::move(session.answer);
  session.answer = nullptr;
  open(session);
  answer(parts_.mount_point + "/" + session.derivation.base());
}

void Sessions::open(Session& session) {
  session.state = Session::State::open;
  if (session.answer_deadline) parts_.loop.cancel(*session.answer_deadline);
  session.answer_deadline.reset();
  spdlog::info("{}: open", session.derivation.base());
  look_out(session);
  if (session.first) parts_.contacts.decide(session.first->namespace_identity, session.derivation);
}

void Sessions::reveal(Session& session, const Message& message) {
  // Also before it is ready: what the build starts with is visible from its first moment.
  const bool open = session.takes_requests() || session.state == Session::State::opening;
  if (!open) return fail(message, "the session is not open");
  const auto paths = parse_paths(message.strings);
  if (!paths) return fail(message, paths.error());
  if (!parts_.tree.reveal(session.derivation, *paths)) {
    return fail(message, "the session has too many visible paths");
  }
  succeed(message);
}

/// A request to graft, of which so many paths are not done yet.
struct Sessions::Grafting {
  Message request;
  std::size_t left;
  std::string failure{};  ///< the first one's
};

void Sessions::grant(Session& session, const Message& message) {
  if (!session.takes_requests()) return fail(message, "the session is not open");
  auto paths = parse_paths(message.strings);
  if (!paths) return fail(message, paths.error());
  if (paths->empty()) return fail(message, "a grant names no store path");
  if (!session.verified) return fail(message, "nobody in the sandbox has called yet");
  std::erase_if(*paths, [&](const auto& path) { return session.granted.contains(path.base()); });
  if (paths->empty()) return succeed(message);
  if (!parts_.tree.reveal(session.derivation, *paths)) {
    return fail(message, "the session has too many visible paths");
  }
  if (parts_.grafter.waiting() + paths->size() > max_waiting_grafts) {
    return fail(message, "too many grafts are asked for at once");
  }
  const auto grafting = std::make_shared<Grafting>(
      Grafting{{message.type, message.session, message.request, {}}, paths->size()});
  for (const auto& path : *paths)
    parts_.grafter.graft(
        path, session.derivation, session.chroot_identity, session.first_for_grafts,
        [this, grafting, path](auto made) { grafted(*grafting, path, std::move(made)); });
}

void Sessions::grafted(Grafting& grafting, const StorePath& path,
                       tl::expected<void, Grafter::Error> made) {
  Session* session = find(grafting.request.session);
  if (!made) {
    spdlog::warn("{}: no graft of {}: {}",
                 session == nullptr ? "closed" : session->derivation.base(), path.base(),
                 made.error().sentence);
    if (grafting.failure.empty()) grafting.failure = made.error().sentence;
    // Only its own sandbox can have kept the helper waiting.
    const bool too_slow = made.error().failure == Grafter::Failure::too_slow;
    if (too_slow && session != nullptr) condemn(*session, made.error().sentence);
  } else if (session != nullptr) {
    session->granted.insert(path.base());
  }
  if (--grafting.left > 0) return;
  if (grafting.failure.empty())
    succeed(grafting.request);
  else
    fail(grafting.request, grafting.failure);
}

void Sessions::verify(Session& session, const Message& message, const Fd& socket) {
  if (!session.takes_requests()) return fail(message, "the session is not open");
  if (!socket) return fail(message, "there is no socket to verify");
  const auto checked = check_caller(session, socket.get());
  if (!checked) {
    spdlog::warn("{}: a caller is refused: {}", session.derivation.base(), checked.error());
    return fail(message, checked.error());
  }
  clients_.hold(session.number, socket.get());
  if (!session.verified) {
    session.verified = true;
    parts_.records.write(session.record());
  }
  succeed(message);
}

tl::expected<void, std::string> Sessions::check_caller(Session& session, int socket) {
  const auto peer = parts_.callers.peer_of(socket);
  if (!peer) return tl::unexpected(peer.error());
  auto outermost = parts_.callers.outermost_namespace(*peer);
  if (!outermost) return tl::unexpected(outermost.error());
  if (!session.first) {
    auto first = parts_.callers.first_process(*peer, std::move(*outermost));
    if (!first) return tl::unexpected(first.error());
    if (first->root != session.chroot_identity) {
      return tl::unexpected<std::string>(
          "the caller's sandbox is not rooted in this build's folder");
    }
    bind_first(session, std::move(*first));
    return {};
  }
  if (identity_of(outermost->get()) != session.first->namespace_identity) {
    return tl::unexpected<std::string>("the caller is in another sandbox");
  }
  return {};
}

void Sessions::succeed(const Message& request) {
  parts_.mediator.send({MessageType::succeeded, request.session, request.request, {}});
}

void Sessions::fail(const Message& request, const std::string& sentence) {
  parts_.mediator.send({MessageType::failed, request.session, request.request, {sentence}});
}

}  // namespace airlock::fusefs
