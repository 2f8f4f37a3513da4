#pragma once

#include <atomic>
#include <functional>
#include <list>
#include <memory>
#include <mutex>
#include <thread>

#include "daemon/mediator/session.hpp"
#include "fusefs/boundary/fd.hpp"

namespace airlock {

/// The thread of one session: opens it, accepts connections and serves each on a thread of its own,
/// at most Limits::connections at a time (further ones wait in the kernel's queue), and when it is
/// told to stop ends them all, then the session.
class SessionServer {
 public:
  /// Prepares the session, and answers the hook that waits for it; null when it was refused.
  using Open = std::function<std::shared_ptr<Session>()>;
  /// Tells the airlock-fs that has adopted the session what it has to know of it.
  using Resume = std::function<void(Session&)>;

  SessionServer(Fd listening, Open open, Resume resume, Services& services);
  SessionServer(const SessionServer&) = delete;
  SessionServer& operator=(const SessionServer&) = delete;
  ~SessionServer();  ///< stops, and waits for the end

  /// Goes on with another socket. Connections live on. Does not wait.
  void resume(Fd listening);
  /// No more requests. Does not wait.
  void stop();
  /// Null until it is open.
  [[nodiscard]] std::shared_ptr<Session> session();
  /// The session has ended and every thread but the object's own is gone.
  [[nodiscard]] bool finished() const { return finished_; }

 private:
  struct Peer {
    Fd socket;
    std::atomic<bool> done{false};
    std::thread thread;
  };
  void run(const Open& open, const Resume& resume);
  void accept_connections(Session& session);
  void end_connections(Session& session);
  [[nodiscard]] bool start_peer(Fd& socket, std::uint64_t index, Session& session);
  void join_finished_peers();
  [[nodiscard]] bool stopping();
  [[nodiscard]] bool take_next_socket();

  Fd listening_;  ///< changed by the object's thread only, with mutex_ held
  Services& services_;
  std::mutex
      mutex_;  ///< guards stopping_, session_ and peers_; never held while a thread is joined
  bool stopping_ = false;
  Fd next_listening_;
  std::shared_ptr<Session> session_;  ///< once it is open
  std::list<Peer> peers_;
  std::atomic<bool> finished_{false};
  std::thread thread_;  ///< last: it uses all of the above
};

}  // namespace airlock
