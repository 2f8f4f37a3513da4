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
/// All of them have to be grafted within the deadline.
constexpr std::size_t paths_a_grant = 32;
/// airlock-fs works on one message while the next is on its way.
constexpr std::size_t grants_at_once = 2;
constexpr std::chrono::milliseconds stop_look_out{100};
/// From a message that could not be sent until the thread that receives knows why.
constexpr std::chrono::seconds loss_is_seen{1};

std::vector<Message> reveals(SessionNumber session, const std::set<StorePath>& paths) {
  std::vector<Message> messages;
  for (const auto& path : paths) {
    if (messages.empty() || messages.back().strings.size() == paths_a_message)
      messages.push_back({MessageType::reveal, session, 0, {}});
    messages.back().strings.push_back(path.base());
  }
  return messages;
}

Message ready_message(SessionNumber session, const Boundary::View& view) {
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
  return message;
}

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

void ControlChannel::take_up(boundary::Channel channel) {
  const std::lock_guard lock(mutex_);
  line_ = std::make_shared<boundary::Channel>(std::move(channel));
}

void ControlChannel::add(SessionNumber session) {
  const std::lock_guard lock(mutex_);
  sessions_[session] = line_;
}

void ControlChannel::remove(SessionNumber session) {
  const std::lock_guard lock(mutex_);
  sessions_.erase(session);
  changed_.notify_all();
}

void ControlChannel::give_up() {
  const std::lock_guard lock(mutex_);
  given_up_ = true;
  changed_.notify_all();
}

ControlChannel::Line ControlChannel::line() {
  const std::lock_guard lock(mutex_);
  return line_;
}

tl::expected<ControlChannel::Line, std::string> ControlChannel::line_of(
    SessionNumber session, Clock::time_point deadline) {
  std::unique_lock lock(mutex_);
  Line known;
  const bool decided = changed_.wait_until(lock, deadline, [&] {
    const auto entry = sessions_.find(session);
    if (entry == sessions_.end()) return true;
    if (line_ && entry->second == line_) known = line_;
    return known != nullptr || given_up_;
  });
  if (known) return known;
  return tl::unexpected(std::string(decided ? "airlock-fs is gone, or has ended the session"
                                            : "airlock-fs did not come back in time"));
}

std::optional<ControlChannel::Request> ControlChannel::send(const Line& line, Message message,
                                                            int descriptor) {
  {
    const std::lock_guard lock(mutex_);
    if (line != line_) return std::nullopt;
    message.request = next_request_++;
    waiting_.try_emplace(message.request).first->second.line = line;
  }
  if (line->send(message, descriptor)) return message.request;
  const std::lock_guard lock(mutex_);
  waiting_.erase(message.request);
  return std::nullopt;
}

std::optional<Boundary::Result> ControlChannel::loss_of(const Line& line) {
  std::unique_lock lock(mutex_);
  if (changed_.wait_for(lock, loss_is_seen, [&] { return line_ != line; })) return std::nullopt;
  return tl::unexpected(std::string("airlock-fs cannot be asked"));
}

std::optional<Boundary::Result> ControlChannel::await(Request request) {
  std::unique_lock lock(mutex_);
  const auto entry = waiting_.find(request);
  const bool decided = entry->second.over.wait_for(lock, answer_deadline, [&] {
    return entry->second.answer.has_value() || entry->second.line != line_;
  });
  auto answer = std::move(entry->second.answer);
  waiting_.erase(entry);
  if (answer || decided) return answer;
  return tl::unexpected(std::string("airlock-fs did not answer in time"));
}

std::optional<Boundary::Result> ControlChannel::ask_over(const Line& line, Message message,
                                                         int descriptor) {
  const auto request = send(line, std::move(message), descriptor);
  return request ? await(*request) : loss_of(line);
}

Boundary::Result ControlChannel::ask(const Message& message, int descriptor) {
  const auto deadline = Clock::now() + patience_;
  for (;;) {
    const auto line = line_of(message.session, deadline);
    if (!line) return tl::unexpected(line.error());
    if (auto done = ask_over(*line, message, descriptor)) return *std::move(done);
  }
}

Boundary::Result ControlChannel::verify(SessionNumber session, int socket) {
  return ask({MessageType::verify, session, 0, {}}, socket);
}

Boundary::Result ControlChannel::reveal(SessionNumber session, const std::set<StorePath>& paths) {
  for (const auto& message : reveals(session, paths))
    if (auto done = ask(message); !done) return done;
  return {};
}

Boundary::Result ControlChannel::resume(SessionNumber session, const std::set<StorePath>& paths,
                                        const View& view) {
  Result lost = tl::unexpected(std::string("airlock-fs is gone again"));
  const auto over = line();
  if (!over) return lost;
  auto messages = reveals(session, paths);
  messages.push_back(ready_message(session, view));
  for (const auto& message : messages) {
    const auto done = ask_over(over, message);
    if (!done) return lost;
    if (!*done) return *done;
  }
  const std::lock_guard lock(mutex_);
  const auto entry = sessions_.find(session);
  if (entry != sessions_.end()) entry->second = over;
  changed_.notify_all();
  return {};
}

std::optional<Boundary::Result> ControlChannel::grant_over(const Line& line, SessionNumber session,
                                                           std::deque<StorePath>& paths) {
  struct UnderWay {
    Request request;
    std::size_t paths;
  };
  std::optional<Result> result = Result{};
  std::deque<UnderWay> under_way;
  std::size_t sent = 0;  // so many from the front are under way
  const auto take_one = [&] {
    const auto [request, count] = under_way.front();
    under_way.pop_front();
    auto done = await(request);
    // What was granted is not asked again; whatever comes after the first that was not, is.
    if (result && *result && done && *done) {
      paths.erase(paths.begin(), paths.begin() + static_cast<std::ptrdiff_t>(count));
      sent -= count;
    } else if (result && *result) {
      result = std::move(done);
    }
  };
  while (result && *result && sent < paths.size()) {
    if (under_way.size() == grants_at_once) {
      take_one();
      continue;
    }
    Message message{MessageType::grant, session, 0, {}};
    for (auto i = sent; i < paths.size() && message.strings.size() < paths_a_grant; ++i)
      message.strings.push_back(paths[i].base());
    const auto count = message.strings.size();
    const auto request = send(line, std::move(message));
    if (!request) result = loss_of(line);
    if (request) {
      under_way.push_back({*request, count});
      sent += count;
    }
  }
  while (!under_way.empty()) take_one();
  return result;
}

Boundary::Result ControlChannel::grant(SessionNumber session, const std::set<StorePath>& paths) {
  const auto deadline = Clock::now() + patience_;
  std::deque<StorePath> left(paths.begin(), paths.end());
  for (;;) {
    const auto line = line_of(session, deadline);
    if (!line) return tl::unexpected(line.error());
    if (auto done = grant_over(*line, session, left)) return *std::move(done);
  }
}

Boundary::Result ControlChannel::condemn(SessionNumber session, const std::string& reason) {
  return ask({MessageType::condemn, session, 0, {reason.substr(0, 2048)}});
}

void ControlChannel::ready(SessionNumber session, const View& view) {
  const auto over = line();
  {
    const std::lock_guard lock(mutex_);
    const auto entry = sessions_.find(session);
    if (!over || entry == sessions_.end() || entry->second != over) return;
  }
  (void)over->send(ready_message(session, view));
}

void ControlChannel::refuse(SessionNumber session, const std::string& reason) {
  if (const auto over = line())
    (void)over->send({MessageType::session_refused, session, 0, {reason.substr(0, 2048)}});
}

void ControlChannel::decline(SessionNumber session) {
  if (const auto over = line()) (void)over->send({MessageType::session_refused, session, 0, {}});
}

void ControlChannel::take_answer(const Message& message) {
  const std::lock_guard lock(mutex_);
  const auto entry = waiting_.find(message.request);
  if (entry == waiting_.end()) return;
  entry->second.answer =
      message.type == MessageType::succeeded
          ? Result{}
          : tl::unexpected(message.strings.empty() ? std::string("airlock-fs refused")
                                                   : message.strings.front());
  entry->second.over.notify_one();
}

std::string ControlChannel::run(const std::function<void(boundary::Received)>& handler) {
  const auto over = line();
  std::string why = "airlock-fs closed the connection";
  while (over) {
    auto received = over->receive();
    if (!received) {
      if (!received.error().empty()) why = received.error();
      break;
    }
    const auto type = received->message.type;
    if (type == MessageType::succeeded || type == MessageType::failed) {
      take_answer(received->message);
    } else {
      handler(*std::move(received));
    }
  }
  // Whatever ended it: airlock-fs takes no other airlockd while it believes in this one.
  if (over) ::shutdown(over->fd(), SHUT_RDWR);
  const std::lock_guard lock(mutex_);
  line_.reset();
  changed_.notify_all();
  for (auto& [request, waiting] : waiting_) waiting.over.notify_one();
  return why;
}

void ControlChannel::close() {
  if (const auto over = line()) ::shutdown(over->fd(), SHUT_RDWR);
}

}  // namespace airlock
