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
/// Few enough that the requests and answers of one session leave room for those of others.
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

std::uint64_t ControlChannel::send_request(Message message, int descriptor) {
  std::uint64_t request = 0;
  {
    const std::lock_guard lock(mutex_);
    if (closed_) return 0;
    request = next_request_++;
    waiting_.emplace(request, std::nullopt);
  }
  message.request = request;
  if (channel_.send(message, descriptor)) return request;
  const std::lock_guard lock(mutex_);
  waiting_.erase(request);
  return 0;
}

Boundary::Result ControlChannel::wait_for_answer(std::uint64_t request) {
  if (request == 0) return tl::unexpected(std::string("airlock-fs is gone"));
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
  return wait_for_answer(send_request(std::move(message), descriptor));
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

Boundary::Result ControlChannel::grant(SessionNumber session, const StorePath& path) {
  return ask({MessageType::grant, session, 0, {path.base()}});
}

Boundary::Result ControlChannel::grant_all(SessionNumber session,
                                           const std::vector<StorePath>& paths) {
  std::deque<std::uint64_t> asked;
  Result result;
  const auto take_answer = [&] {
    auto answer = wait_for_answer(asked.front());
    asked.pop_front();
    if (!answer && result) result = std::move(answer);
  };
  for (const auto& path : paths) {
    if (!result) break;
    if (asked.size() == grants_at_once) take_answer();
    asked.push_back(send_request({MessageType::grant, session, 0, {path.base()}}, -1));
  }
  while (!asked.empty()) take_answer();
  return result;
}

Boundary::Result ControlChannel::condemn(SessionNumber session, const std::string& reason) {
  return ask({MessageType::condemn, session, 0, {reason.substr(0, 2048)}});
}

void ControlChannel::ready(SessionNumber session, const SearchPath& search_path) {
  Message message{MessageType::session_ready, session, 0, {}};
  for (const auto& [name, path] : search_path) {
    message.strings.push_back(name);
    message.strings.push_back(path.base());
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
