#include "daemon/mediator/session_server.hpp"

#include <spdlog/spdlog.h>
#include <sys/socket.h>

#include <cerrno>
#include <chrono>
#include <cstring>
#include <system_error>

#include "daemon/mediator/connection.hpp"

namespace airlock {

namespace {

constexpr std::chrono::milliseconds retry_delay{5};
constexpr std::chrono::milliseconds start_retry{20};
/// How long a connection may take for its last words once its session is over.
constexpr std::chrono::seconds farewell{1};

}  // namespace

SessionServer::SessionServer(Fd listening, Open open, Resume resume, Services& services)
    : listening_(std::move(listening)),
      services_(services),
      thread_([this, open = std::move(open), resume = std::move(resume)] { run(open, resume); }) {}

SessionServer::~SessionServer() {
  stop();
  thread_.join();
}

void SessionServer::resume(Fd listening) {
  const std::lock_guard lock(mutex_);
  next_listening_ = std::move(listening);
  ::shutdown(listening_.get(), SHUT_RDWR);  // wakes accept, which first takes who waits there
}

bool SessionServer::take_next_socket() {
  const std::lock_guard lock(mutex_);
  if (stopping_ || !next_listening_) return false;
  listening_ = std::move(next_listening_);
  return true;
}

void SessionServer::stop() {
  const std::lock_guard lock(mutex_);
  stopping_ = true;
  // Reading ends at once; what a connection still has to say may be written for a moment.
  for (auto& peer : peers_) ::shutdown(peer.socket.get(), SHUT_RD);
  if (session_) session_->stop();
  ::shutdown(listening_.get(), SHUT_RDWR);  // wakes accept
}

std::shared_ptr<Session> SessionServer::session() {
  const std::lock_guard lock(mutex_);
  return session_;
}

bool SessionServer::stopping() {
  const std::lock_guard lock(mutex_);
  return stopping_;
}

void SessionServer::run(const Open& open, const Resume& resume) {
  if (auto session = open()) {
    {
      const std::lock_guard lock(mutex_);
      session_ = session;
    }
    accept_connections(*session);
    while (take_next_socket()) {
      resume(*session);
      accept_connections(*session);
    }
    end_connections(*session);
    session->end();
    session->join();
  }
  finished_ = true;
}

void SessionServer::end_connections(Session& session) {
  stop();  // also when accepting failed by itself
  for (const auto deadline = std::chrono::steady_clock::now() + farewell;
       std::chrono::steady_clock::now() < deadline; std::this_thread::sleep_for(retry_delay)) {
    join_finished_peers();
    if (peers_.empty()) return;  // only this thread changes the list
  }
  for (auto& peer : peers_) ::shutdown(peer.socket.get(), SHUT_RDWR);
  // What they still wait for may take upstream long; the post-build hook must not wait with them.
  session.end();
  for (auto& peer : peers_) peer.thread.join();
}

void SessionServer::accept_connections(Session& session) {
  std::uint64_t index = 0;
  while (!stopping()) {
    Fd socket(::accept4(listening_.get(), nullptr, nullptr, SOCK_CLOEXEC));
    const int error = errno;
    join_finished_peers();
    if (socket) {
      ++index;
      while (!start_peer(socket, index, session)) {
        std::this_thread::sleep_for(start_retry);
        join_finished_peers();
      }
    } else if (error == EMFILE || error == ENFILE || error == ENOMEM || error == ENOBUFS) {
      spdlog::error("{}: cannot accept a connection: {}", session.path().base(),
                    std::strerror(error));
      std::this_thread::sleep_for(20 * retry_delay);
    } else if (error != EINTR && error != ECONNABORTED) {
      break;
    }
  }
}

bool SessionServer::start_peer(Fd& socket, std::uint64_t index, Session& session) {
  const std::lock_guard lock(mutex_);
  if (stopping_) return true;  // the socket is closed by its owner
  if (peers_.size() >= services_.config.limits.connections) return false;
  auto& peer = peers_.emplace_back();
  peer.socket = std::move(socket);
  try {
    peer.thread = std::thread([this, &peer, &session, index] {
      serve_connection(peer.socket.get(), index, session, services_);
      // The client sees the end now; the descriptor is closed once the thread was joined.
      ::shutdown(peer.socket.get(), SHUT_RDWR);
      peer.done = true;
    });
  } catch (const std::system_error& error) {
    spdlog::error("{}: cannot serve a connection yet: {}", session.path().base(), error.what());
    socket = std::move(peer.socket);
    peers_.pop_back();
    return false;
  }
  return true;
}

void SessionServer::join_finished_peers() {
  std::list<Peer> done;
  {
    const std::lock_guard lock(mutex_);
    for (auto peer = peers_.begin(); peer != peers_.end();) {
      const auto next = std::next(peer);
      if (peer->done) done.splice(done.end(), peers_, peer);
      peer = next;
    }
  }
  for (auto& peer : done) peer.thread.join();
}

}  // namespace airlock
