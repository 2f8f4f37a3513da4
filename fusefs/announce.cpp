#include "fusefs/announce.hpp"

#include <poll.h>
#include <spdlog/spdlog.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <algorithm>
#include <chrono>

#include "fusefs/chroot_folder.hpp"

namespace airlock::fusefs {
namespace {

using boundary::Message;
using boundary::MessageType;

constexpr std::size_t max_connections = 512;
/// Longer than airlockd has to take a session.
constexpr std::chrono::seconds longest_silence{30};

tl::unexpected<std::string> no(std::string sentence) {
  return tl::unexpected<std::string>(std::move(sentence));
}

/// The one string of a message as a derivation's base name.
tl::expected<StorePath, std::string> derivation_of(const Message& message) {
  if (message.strings.size() != 1) return no("one derivation is to be named");
  auto path = StorePath::parse(message.strings.front());
  if (path && !path->is_derivation()) return no("that is no derivation");
  return path;
}

}  // namespace

AnnounceServer::AnnounceServer(EventLoop& loop, Fd listening, const CallerCheck& callers,
                               Sessions& sessions, const MediatorLink& mediator, int store)
    : loop_(loop),
      listening_(std::move(listening)),
      callers_(callers),
      sessions_(sessions),
      mediator_(mediator),
      store_(store) {
  loop_.watch(listening_.get(), POLLIN, [this](short) { on_connection(); });
}

AnnounceServer::~AnnounceServer() {
  while (!connections_.empty()) drop(connections_.front().number);
  loop_.forget(listening_.get());
}

void AnnounceServer::on_connection() {
  Fd socket(::accept4(listening_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
  if (!socket) return;
  ucred credentials{};
  socklen_t size = sizeof credentials;
  if (::getsockopt(socket.get(), SOL_SOCKET, SO_PEERCRED, &credentials, &size) != 0) return;
  if (credentials.uid != 0) {
    spdlog::warn("announce: uid {} is not root: refused", credentials.uid);
    return;
  }
  auto peer = callers_.peer_of(socket.get());
  if (!peer || connections_.size() >= max_connections) return;
  const auto number = next_number_++;
  const auto silence = loop_.after(longest_silence, [this, number] { drop(number); });
  connections_.push_back(
      {number, boundary::Channel(std::move(socket)), std::move(*peer), silence, false});
  loop_.watch(connections_.back().channel.fd(), POLLIN,
              [this, number](short) { on_event(number); });
}

void AnnounceServer::on_event(std::uint64_t number) {
  Connection* connection = find(number);
  if (connection == nullptr) return;
  auto received = connection->channel.receive();
  if (!received) {
    if (!received.error().empty()) spdlog::warn("announce: {}", received.error());
    return drop(number);
  }
  handle(*connection, std::move(*received));
}

void AnnounceServer::handle(Connection& connection, boundary::Received received) {
  const auto number = connection.number;
  const Message& message = received.message;
  switch (message.type) {
    case MessageType::announce:
      return announce(connection, received);
    case MessageType::settled: {
      const auto derivation = derivation_of(message);
      if (!derivation) return reply(number, {MessageType::refused, 0, 0, {derivation.error()}});
      sessions_.settled(*derivation);
      return reply(number, {MessageType::done, 0, 0, {}});
    }
    case MessageType::status: {
      const auto* const state = mediator_.is_connected() ? "connected" : "disconnected";
      const auto open = std::to_string(sessions_.count_open());
      return reply(number, {MessageType::status_is, 0, 0, {state, open}});
    }
    default:
      spdlog::warn("announce: a message that is not for airlock-fs");
      drop(number);
  }
}

void AnnounceServer::announce(Connection& connection, const boundary::Received& received) {
  const auto number = connection.number;
  if (connection.waiting) return drop(number);
  auto announcement = check(connection.peer, received);
  if (!announcement) {
    spdlog::warn("announce: refused: {}", announcement.error());
    return reply(number, {MessageType::refused, 0, 0, {announcement.error()}});
  }
  connection.waiting = true;
  sessions_.announce(std::move(*announcement),
                     [this, number](tl::expected<std::string, std::string> answer) {
                       if (Connection* waiting = find(number)) waiting->waiting = false;
                       const auto type = answer ? MessageType::announced : MessageType::refused;
                       reply(number, {type, 0, 0, {answer ? *answer : answer.error()}});
                     });
}

tl::expected<Announcement, std::string> AnnounceServer::check(const Peer& hook,
                                                              const boundary::Received& received) {
  auto derivation = derivation_of(received.message);
  if (!derivation) return tl::unexpected(derivation.error());
  if (!received.descriptor) return no("the build's folder did not come along");
  const auto announced = identity_of(received.descriptor.get());
  if (!announced) return no("the build's folder cannot be looked at");
  // A descriptor of our own: what root's hook sent only says which of the two folders it is.
  Fd chroot = open_chroot_folder(store_, *derivation, *announced);
  if (!chroot) return no("the folder announced is not this derivation's build folder in the store");
  // What started the hook: the nix-daemon worker, whose life is the build's.
  auto worker = parent_of(hook.pid);
  const auto stamp = worker.process ? stamp_of(worker.pid) : std::nullopt;
  if (!stamp || !is_alive(hook.process.get())) {
    return no("the hook was not started by a process that waits for it");
  }
  return Announcement{std::move(*derivation), std::move(chroot), *announced,
                      std::move(worker.process), *stamp};
}

void AnnounceServer::reply(std::uint64_t number, const Message& message) {
  Connection* connection = find(number);
  if (connection != nullptr && !connection->channel.send(message)) drop(number);
}

void AnnounceServer::drop(std::uint64_t number) {
  const auto found =
      std::find_if(connections_.begin(), connections_.end(),
                   [&](const Connection& connection) { return connection.number == number; });
  if (found == connections_.end()) return;
  loop_.forget(found->channel.fd());
  loop_.cancel(found->silence);
  connections_.erase(found);
}

AnnounceServer::Connection* AnnounceServer::find(std::uint64_t number) {
  const auto found =
      std::find_if(connections_.begin(), connections_.end(),
                   [&](const Connection& connection) { return connection.number == number; });
  return found == connections_.end() ? nullptr : &*found;
}

}  // namespace airlock::fusefs
