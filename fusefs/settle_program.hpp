#pragma once

#include <sys/types.h>

#include <chrono>
#include <functional>
#include <map>
#include <string>

#include "fusefs/boundary/fd.hpp"
#include "fusefs/boundary/store_path.hpp"
#include "fusefs/event_loop.hpp"

namespace airlock::fusefs {

/// Runs "<program> settle --derivation <base>" when a build ended without its post-build hook, so
/// that outputs which became valid all the same get their references. Lives on the event loop.
class SettleProgram {
 public:
  /// program "": there is nothing to run, and every run is done at once. Throws std::runtime_error
  /// when it is nothing that can be run.
  SettleProgram(EventLoop& loop, std::string program);
  ~SettleProgram();
  SettleProgram(const SettleProgram&) = delete;
  SettleProgram& operator=(const SettleProgram&) = delete;

  /// Calls back later, once, whatever the program did; what it did is logged.
  void run(const StorePath& derivation, std::function<void()> done);

  static constexpr std::chrono::minutes deadline{10};

 private:
  struct Run {
    Fd process;
    std::string derivation;
    EventLoop::Timer timer = 0;
    std::function<void()> done;
  };
  void on_end(pid_t pid);

  EventLoop& loop_;
  std::string program_;
  std::map<pid_t, Run> running_;
};

}  // namespace airlock::fusefs
