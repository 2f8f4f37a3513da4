#include "daemon/mediator/boundary.hpp"

#include <poll.h>
#include <sys/socket.h>

#include <chrono>
#include <deque>

namespace airlock {

namespace {

using boundary::Message;
using boundary::MessageType;

/// airlock-fs answers in milliseconds; its own helper has a deadline of seconds.
constexpr std::chrono::seconds answer_deadline{20};
constexpr std::size_t paths_a_message = 200;
/// airlock-fs and its helper work on one grant while the next is on its way.
constexpr std::size_t grants_at_once = 64;
constexpr std::chrono::milliseconds stop_look_out{100};

}  // namespace

tl::expected<boundary::Channel, std::string> ControlChannel::connect(
    const std::string& path, const std::function<bool()>& stopping) {
  auto channel = boundary::Channel::connect(path);
  if (!channel) return channel;
  pollfd polled{channel->fd(), POLLIN, 0};
  while (::poll(&polled, 1, static_cast<int>(stop_look_out.count())) <= 0)
    if (stopping()) return tl::unexpected(std::string("airlockd is told to stop"));
  const auto first = channel->receive();
  if (!first)
    return tl::unexpected(first.error().empty() ? std::string("airlock-fs closed the connection")
                                                : first.error());
  if (first->message.type != MessageType::welcome)
    return tl::unexpected(
        std::string("airlock-fs did not say welcome: are both of the same version?"));
  return channel;
}

std::optional<ControlChannel::Request> ControlChannel::send(Message message, int descriptor) {
  {
    const std::lock_guard lock(mutex_);
    if (closed_) return std::nullopt;
    message.request = next_request_++;
    waiting_.emplace(message.request, std::nullopt);
  }
  if (channel_.send(message, descriptor)) return message.request;
  const std::lock_guard lock(mutex_);
  waiting_.erase(message.request);
  return std::nullopt;
}

Boundary::Result ControlChannel::await(Request request) {
  std::unique_lock lock(mutex_);
  const auto entry = waiting_.find(request);
  const bool answered = answered_.wait_for(lock, answer_deadline,
                                           [&] { return closed_ || entry->second.has_value(); });
  Result result = tl::unexpected(
      std::string(answered ? "airlock-fs is gone" : "airlock-fs did not answer in time"));
  if (entry->second) result = *std::move(entry->second);
  waiting_.erase(entry);
  return result;
}

Boundary::Result ControlChannel::ask(Message message, int descriptor) {
  const auto request = send(std::move(message), descriptor);
  return request ? await(*request) : tl::unexpected(std::string("airlock-fs is gone"));
}

Boundary::Result ControlChannel::verify(SessionNumber session, int socket) {
  return ask({MessageType::verify, session, 0, {}}, socket);
}

Boundary::Result ControlChannel::reveal(SessionNumber session, const std::set<StorePath>& paths) {
  Message message{MessageType::reveal, session, 0, {}};
  for (const auto& path : paths) {
    message.strings.push_back(path.base());
    if (message.strings.size() < paths_a_message) continue;
    if (auto done = ask(message); !done) return done;
    message.strings.clear();
  }
  return message.strings.empty() ? Result{} : ask(std::move(message));
}

Boundary::Result ControlChannel::grant(SessionNumber session, const std::set<StorePath>& paths) {
  Result result;
  std::deque<Request> under_way;
  const auto take_one = [&] {
    if (auto done = await(under_way.front()); !done && result) result = std::move(done);
    under_way.pop_front();
  };
  for (auto path = paths.begin(); path != paths.end() && result; ++path) {
    if (under_way.size() == grants_at_once) take_one();
    if (const auto request = send({MessageType::grant, session, 0, {path->base()}}))
      under_way.push_back(*request);
    else
      result = tl::unexpected(std::string("airlock-fs is gone"));
  }
  while (!under_way.empty()) take_one();
  return result;
}

Boundary::Result ControlChannel::condemn(SessionNumber session, const std::string& reason) {
  return ask({MessageType::condemn, session, 0, {reason.substr(0, 2048)}});
}

void ControlChannel::ready(SessionNumber session, const View& view) {
  Message message{MessageType::session_ready, session, 0, {}};
  for (const auto& [name, path] : view.search_path) {
    message.strings.push_back(name);
    message.strings.push_back(path.base());
  }
  if (!view.settings.empty()) message.strings.emplace_back();
  for (const auto& [name, value] : view.settings) {
    message.strings.push_back(name);
    message.strings.push_back(value);
  }
  (void)channel_.send(message);
}

void ControlChannel::refuse(SessionNumber session, const std::string& reason) {
  (void)channel_.send({MessageType::session_refused, session, 0, {reason.substr(0, 2048)}});
}

void ControlChannel::decline(SessionNumber session) {
  (void)channel_.send({MessageType::session_refused, session, 0, {}});
}

std::string ControlChannel::run(const std::function<void(boundary::Received)>& handler) {
  std::string why;
  for (;;) {
    auto received = channel_.receive();
    if (!received) {
      why = received.error().empty() ? "airlock-fs closed the connection" : received.error();
      break;
    }
    const auto& message = received->message;
    if (message.type == MessageType::succeeded || message.type == MessageType::failed) {
      const std::lock_guard lock(mutex_);
      const auto entry = waiting_.find(message.request);
      if (entry == waiting_.end()) continue;
      entry->second =
          message.type == MessageType::succeeded
              ? Result{}
              : tl::unexpected(message.strings.empty() ? std::string("airlock-fs refused")
                                                       : message.strings.front());
      answered_.notify_all();
    } else {
      handler(*std::move(received));
    }
  }
  // Whatever ended it: airlock-fs takes no other airlockd while it believes in this one.
  close();
  const std::lock_guard lock(mutex_);
  closed_ = true;
  answered_.notify_all();
  return why;
}

void ControlChannel::close() {
  ::shutdown(channel_.fd(), SHUT_RDWR);
}

}  // namespace airlock
