#include "daemon/wire/fd_stream.hpp"

#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <string>

namespace airlock::wire {

namespace {

constexpr std::size_t write_buffer = 32 * 1024;
constexpr std::size_t most_ahead = 16 << 20;

ConnectionOver too_late(const char* what) {
  return ConnectionOver(std::string("the peer ") + what + " nothing before the deadline");
}

/// How long a call that waits may do so; zero: as long as it takes.
void limit_waiting(int fd, int option, std::chrono::milliseconds deadline) {
  const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(deadline);
  const timeval limit{seconds.count(), std::chrono::microseconds(deadline - seconds).count()};
  if (::setsockopt(fd, SOL_SOCKET, option, &limit, sizeof limit) != 0)
    throw ConnectionOver(std::string("setting a deadline failed: ") + std::strerror(errno));
}

/// watched may be -1, which poll passes over.
void wait_for(int fd, short events, int watched, std::chrono::milliseconds deadline,
              const char* what) {
  std::array<pollfd, 2> entries{{{fd, events, 0}, {watched, POLLRDHUP, 0}}};
  const int timeout = deadline.count() > 0 ? static_cast<int>(deadline.count()) : -1;
  for (;;) {
    const int n = ::poll(entries.data(), entries.size(), timeout);
    if (n > 0 && entries[0].revents != 0) return;
    if (n > 0) throw WatchedHungUp("the client hung up while its request was worked on");
    if (n == 0) throw too_late(what);
    if (errno != EINTR) throw ConnectionOver(std::string("poll: ") + std::strerror(errno));
  }
}

}  // namespace

bool FdSource::take_ahead() {
  std::array<char, 16 * 1024> piece{};
  for (;;) {
    const auto n = ::recv(fd_, piece.data(), piece.size(), MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) return true;
    if (n <= 0) return false;  // the next read will find out why
    ahead_.append(piece.data(), static_cast<std::size_t>(n));
    if (ahead_.size() > most_ahead)
      throw ConnectionOver("the peer sends without end while it is being sent to");
  }
}

bool FdSource::fill() {
  begin_ = 0;
  if (!ahead_.empty()) {
    end_ = ahead_.copy(buffer_.data(), buffer_.size());
    ahead_.erase(0, end_);
  } else {
    end_ = receive(buffer_);
  }
  return end_ > 0;
}

std::size_t FdSource::receive(std::span<char> buffer) {
  // Nothing else to look at: one call that waits, rather than one to see that there is nothing, one
  // to wait and one to read.
  const bool alone = watched_ < 0;
  if (alone) apply_deadline();
  for (;;) {
    const auto n = ::recv(fd_, buffer.data(), buffer.size(), alone ? 0 : MSG_DONTWAIT);
    if (n >= 0) return static_cast<std::size_t>(n);
    if (errno == ECONNRESET) return 0;
    if (errno == EAGAIN && alone) throw too_late("sent");
    if (errno == EAGAIN)
      wait_for(fd_, POLLIN, watched_, deadline_, "sent");
    else if (errno != EINTR)
      throw ConnectionOver(std::string("reading failed: ") + std::strerror(errno));
  }
}

void FdSource::apply_deadline() {
  if (applied_ == deadline_) return;
  limit_waiting(fd_, SO_RCVTIMEO, deadline_);
  applied_ = deadline_;
}

void FdSource::read(std::span<char> buffer) {
  for (bool first = true; !buffer.empty(); first = false) {
    std::size_t piece = 0;
    if (begin_ == end_ && ahead_.empty() && buffer.size() >= buffer_.size()) {
      piece = receive(buffer);  // nothing is gained by a copy in between
    } else if (begin_ < end_ || fill()) {
      piece = std::min(buffer.size(), end_ - begin_);
      std::memcpy(buffer.data(), buffer_.data() + begin_, piece);
      begin_ += piece;
    }
    if (piece == 0) {
      closed_between_ = first;
      throw ConnectionOver(first ? "the peer closed the connection"
                                 : "the peer closed the connection in the middle of a message");
    }
    buffer = buffer.subspan(piece);
  }
}

void FdSink::write(std::string_view bytes) {
  if (buffer_.size() + bytes.size() > write_buffer) flush();
  if (bytes.size() >= write_buffer)
    send(bytes);
  else
    buffer_.append(bytes);
}

void FdSink::flush() {
  if (buffer_.empty()) return;
  std::string pending;
  pending.swap(buffer_);
  send(pending);
}

void FdSink::send(std::string_view bytes) {
  while (meanwhile_ != nullptr && !bytes.empty()) {
    if (const auto n = send_some(bytes, MSG_DONTWAIT); n > 0) {
      bytes.remove_prefix(n);
      continue;
    }
    wait_for(fd_, POLLOUT | POLLIN, -1, deadline_, "took");
    if (!meanwhile_->take_ahead()) meanwhile_ = nullptr;
  }
  if (bytes.empty()) return;
  if (applied_ != deadline_) limit_waiting(fd_, SO_SNDTIMEO, deadline_);
  applied_ = deadline_;
  while (!bytes.empty()) {
    const auto n = send_some(bytes, 0);
    if (n == 0) throw too_late("took");
    bytes.remove_prefix(n);
  }
}

std::size_t FdSink::send_some(std::string_view bytes, int flags) const {
  for (;;) {
    const auto n = ::send(fd_, bytes.data(), bytes.size(), flags | MSG_NOSIGNAL);
    if (n >= 0) return static_cast<std::size_t>(n);
    if (errno == EAGAIN) return 0;
    if (errno != EINTR)
      throw ConnectionOver(errno == EPIPE || errno == ECONNRESET
                               ? std::string("the peer closed the connection")
                               : std::string("writing failed: ") + std::strerror(errno));
  }
}

}  // namespace airlock::wire
