#pragma once

#include <sys/types.h>

#include <map>
#include <string>

#include "daemon/config/config.hpp"
#include "fusefs/boundary/fd.hpp"

namespace airlock::fetch {

/// Serves requests to fetch, each in a process of its own, which ends with its request, with the
/// one that asked, or when its time is up, and whose folder is then removed. One thread.
class Server {
 public:
  /// `working` is a folder of this process's own, in which each fetch gets one.
  Server(const Config& config, Fd listening, uid_t client, std::string working)
      : config_(config),
        listening_(std::move(listening)),
        client_(client),
        working_(std::move(working)) {}

  /// Until a signal of `stopping` (TERM, INT; blocked, as CHLD is) comes. Ends what still runs.
  void run();

 private:
  struct Job {
    Fd socket;
    std::string folder;
    bool unwanted = false;  ///< it was ended since nobody waits for it
  };
  void accept_one();
  void start(Fd socket);
  void reap();
  void give_up_unwanted(const std::map<pid_t, short>& events);
  void end(pid_t job);

  const Config& config_;
  Fd listening_;
  uid_t client_;
  std::string working_;
  std::map<pid_t, Job> jobs_;
  std::uint64_t count_ = 0;
};

}  // namespace airlock::fetch
