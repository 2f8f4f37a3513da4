#pragma once

#include <array>
#include <chrono>
#include <string>

#include "daemon/core/stream.hpp"

namespace airlock::wire {

/// Thrown by a source that waits while the other socket it watches hangs up.
class WatchedHungUp : public ConnectionOver {
 public:
  using ConnectionOver::ConnectionOver;
};

/// Reads a stream socket through a buffer; what is asked for in large pieces is read in place. Sets
/// the socket's own time limit for receiving. Throws ConnectionOver when the peer closed ("closed"
/// is then true and nothing was read) or when no byte came for as long as the deadline says.
class FdSource final : public Source {
 public:
  /// The descriptor is the caller's and must outlive this. Zero: no deadline.
  FdSource(int fd, std::chrono::milliseconds deadline) : fd_(fd), deadline_(deadline) {}
  void read(std::span<char> buffer) override;
  void set_deadline(std::chrono::milliseconds deadline) { deadline_ = deadline; }
  /// While waiting, throws WatchedHungUp when the peer of this other socket hangs up; -1 for none.
  /// So a build that nobody waits for any more is given up.
  void watch_hangup_of(int fd) { watched_ = fd; }
  /// The peer closed in good order: no byte of what was being read had come.
  [[nodiscard]] bool closed_between() const { return closed_between_; }
  /// Whether read would find something without waiting for the peer.
  [[nodiscard]] bool has_buffered() const { return begin_ < end_ || !ahead_.empty(); }
  /// Takes what has come, without waiting, to be read later; false when nothing more will come. For
  /// FdSink::read_meanwhile.
  [[nodiscard]] bool take_ahead();

 private:
  bool fill();  ///< false at the end
  /// At least one byte, or 0 at the end.
  [[nodiscard]] std::size_t receive(std::span<char> buffer);
  void apply_deadline();
  int fd_;
  int watched_ = -1;
  std::chrono::milliseconds deadline_;
  std::chrono::milliseconds applied_{0};  ///< to the socket, which has none at first
  std::array<char, 32 * 1024> buffer_;
  std::size_t begin_ = 0;
  std::size_t end_ = 0;
  std::string ahead_;
  bool closed_between_ = false;
};

/// Writes a stream socket through a buffer; flush sends what is left. Sets the socket's own time
/// limit for sending. Throws ConnectionOver when
/// the peer is gone or takes nothing for as long as the deadline says.
class FdSink final : public Sink {
 public:
  FdSink(int fd, std::chrono::milliseconds deadline) : fd_(fd), deadline_(deadline) {}
  void write(std::string_view bytes) override;
  void flush() override;
  /// While the peer takes nothing, what it sends is taken in: a peer that writes its log in the
  /// middle of an upload and is not listened to would never take the rest. Null for none.
  void read_meanwhile(FdSource* source) { meanwhile_ = source; }

 private:
  void send(std::string_view bytes);
  /// 0 where it took none: would have to wait, or has waited for as long as the deadline says.
  [[nodiscard]] std::size_t send_some(std::string_view bytes, int flags) const;
  int fd_;
  FdSource* meanwhile_ = nullptr;
  std::chrono::milliseconds deadline_;
  std::chrono::milliseconds applied_{0};  ///< to the socket, which has none at first
  std::string buffer_;
};

}  // namespace airlock::wire
