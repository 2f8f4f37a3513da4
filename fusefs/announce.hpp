#pragma once

#include <list>
#include <memory>
#include <optional>
#include <string>

#include "fusefs/boundary/channel.hpp"
#include "fusefs/caller.hpp"
#include "fusefs/event_loop.hpp"
#include "fusefs/mediator_link.hpp"
#include "fusefs/sessions.hpp"

namespace airlock::fusefs {

/// The socket that root's hooks and commands speak to: announce, settled, status. Each connection
/// is served by itself, so one that says nothing keeps nobody waiting; it is closed after a while.
/// Lives on the event loop.
class AnnounceServer {
 public:
  AnnounceServer(EventLoop& loop, Fd listening, const CallerCheck& callers, Sessions& sessions,
                 const MediatorLink& mediator, int store);
  ~AnnounceServer();
  AnnounceServer(const AnnounceServer&) = delete;
  AnnounceServer& operator=(const AnnounceServer&) = delete;

 private:
  struct Connection {
    std::uint64_t number;
    boundary::Channel channel;
    Peer peer;
    EventLoop::Timer silence;
    bool waiting = false;  ///< an announcement of its is not answered yet
  };

  void on_connection();
  void on_event(std::uint64_t number);
  void handle(Connection& connection, boundary::Received received);
  void announce(Connection& connection, const boundary::Received& received);
  void reply(std::uint64_t number, const boundary::Message& message);
  void drop(std::uint64_t number);
  [[nodiscard]] Connection* find(std::uint64_t number);
  [[nodiscard]] tl::expected<Announcement, std::string> check(const Peer& hook,
                                                              const boundary::Received& received);

  EventLoop& loop_;
  Fd listening_;
  const CallerCheck& callers_;
  Sessions& sessions_;
  const MediatorLink& mediator_;
  int store_;
  std::uint64_t next_number_ = 1;
  std::list<Connection> connections_;
};

}  // namespace airlock::fusefs
