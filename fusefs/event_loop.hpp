#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>

namespace airlock::fusefs {

/// One thread's poll loop: descriptors to watch and timers. Everything that owns a session runs on
/// it, so sessions need no lock. Not thread-safe; a callback may watch, forget, arm and cancel
/// anything, itself included.
class EventLoop {
 public:
  using Clock = std::chrono::steady_clock;
  using Timer = std::uint64_t;

  /// Calls back with poll's revents whenever one of events (or an error) is there. The descriptor
  /// stays the caller's and must be forgotten before it is closed. Watching it again replaces both.
  void watch(int fd, short events, std::function<void(short)> callback);
  /// Changes what a watched descriptor is watched for.
  void change(int fd, short events);
  void forget(int fd);

  /// Calls back once, never before the delay has passed.
  Timer after(std::chrono::milliseconds delay, std::function<void()> callback);
  void cancel(Timer timer);

  /// Until stop is called.
  void run();
  void stop() { stopped_ = true; }

 private:
  struct Watch {
    short events;
    std::uint64_t serial;  ///< tells a descriptor from an earlier one with the same number
    std::function<void(short)> callback;
  };
  struct Alarm {
    Timer id;
    std::function<void()> callback;
  };

  void poll_once();
  void ring_due_alarms();
  [[nodiscard]] int milliseconds_to_next_alarm() const;

  std::map<int, Watch> watches_;
  std::multimap<Clock::time_point, Alarm> alarms_;
  std::uint64_t next_serial_ = 1;
  bool stopped_ = false;
};

}  // namespace airlock::fusefs
