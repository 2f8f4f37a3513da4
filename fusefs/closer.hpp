#pragma once

#include <condition_variable>
#include <cstddef>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>

#include "fusefs/boundary/channel.hpp"

namespace airlock::fusefs {

/// Closes what airlockd has sent, and connections that such things may still be in, in a thread of
/// its own: a file of a filesystem of somebody's, or a socket that lingers, can keep close(2)
/// waiting for as long as they like. Thread-safe.
class Closer {
 public:
  Closer();
  /// Does not wait for what is being closed.
  ~Closer();
  Closer(const Closer&) = delete;
  Closer& operator=(const Closer&) = delete;

  void close(Fd file);
  void close(boundary::Channel connection);
  /// Whether what waits to be closed is more than could be without ill will.
  [[nodiscard]] bool is_stuck() const;

  static constexpr std::size_t most_waiting = 256;

 private:
  struct Item {
    Fd file;
    std::optional<boundary::Channel> connection;
  };
  /// Held by the thread as well, which may outlive this.
  struct State {
    std::mutex mutex;
    std::condition_variable changed;
    std::deque<Item> waiting;
    bool stopped = false;
  };

  static void run(State& state);
  void add(Item item);

  std::shared_ptr<State> state_;
};

}  // namespace airlock::fusefs
