#pragma once

#include <sys/types.h>

#include <deque>
#include <functional>
#include <optional>
#include <string>

#include "fusefs/boundary/channel.hpp"
#include "fusefs/closer.hpp"
#include "fusefs/event_loop.hpp"

namespace airlock::fusefs {

/// The control socket and the one airlockd that is connected to it. Everything that comes over it
/// is hostile until checked. Never waits: what airlockd does not take yet is queued, and an
/// airlockd that takes nothing is let go. Lives on the event loop.
class MediatorLink {
 public:
  struct Handlers {
    std::function<void()> connected;
    std::function<void(const boundary::Received&)> received;
    std::function<void()> lost;
  };

  /// listening: bound, and not listening before listen. user: the only uid that may connect.
  MediatorLink(EventLoop& loop, Fd listening, uid_t user);
  ~MediatorLink();
  MediatorLink(const MediatorLink&) = delete;
  MediatorLink& operator=(const MediatorLink&) = delete;

  /// Lets airlockd connect. Throws std::runtime_error. Both before the loop runs.
  void listen();
  void set_handlers(Handlers handlers) { handlers_ = std::move(handlers); }

  [[nodiscard]] bool is_connected() const { return channel_.has_value(); }
  /// Does nothing when nobody is connected: whoever waits for an answer has a deadline.
  void send(boundary::Message message, Fd descriptor = {});

 private:
  struct Outgoing {
    boundary::Message message;
    Fd descriptor;
  };
  void on_connection();
  void on_event(short events);
  void flush();
  void disconnect(const std::string& why);

  EventLoop& loop_;
  Fd listening_;
  uid_t user_;
  Handlers handlers_;
  std::optional<boundary::Channel> channel_;
  std::deque<Outgoing> outgoing_;
  Closer closer_;
};

}  // namespace airlock::fusefs
