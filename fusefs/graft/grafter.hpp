#pragma once

#include <sys/types.h>

#include <chrono>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <tl/expected.hpp>

#include "fusefs/boundary/channel.hpp"
#include "fusefs/boundary/store_path.hpp"
#include "fusefs/event_loop.hpp"
#include "fusefs/graft/store_mounts.hpp"
#include "fusefs/kernel.hpp"

namespace airlock::fusefs {

/// Links files into sandboxes itself; has the other grafts made by the helper process, in order,
/// and replaces it when it takes too long: a sandbox can put a filesystem in the way that never
/// answers. Lives on the event loop.
class Grafter {
 public:
  enum class Failure { refused, too_slow };
  struct Error {
    Failure failure;
    std::string sentence;
  };
  using Done = std::function<void(tl::expected<void, Error>)>;

  /// may_link: see Graft. The view is mounted already.
  Grafter(EventLoop& loop, GraftSources sources, bool may_link);
  ~Grafter();
  Grafter(const Grafter&) = delete;
  Grafter& operator=(const Grafter&) = delete;

  /// Calls back once, perhaps before it returns. The pidfd is shared: many requests may wait, and
  /// none of them is to take a descriptor more.
  void graft(const StorePath& path, const StorePath& derivation, FileIdentity chroot,
             std::shared_ptr<const Fd> first_process, Done done);
  /// Puts a folder of the view over the part of a dead view that a sandbox has; see Graft.
  void put_back(const std::string& folder, const std::vector<std::uint64_t>& dead,
                std::shared_ptr<const Fd> first_process, Done done);
  /// That derivation's sandbox is over.
  void forget(const StorePath& derivation);
  /// How many grafts are not made yet.
  [[nodiscard]] std::size_t waiting() const { return jobs_.size(); }

  static constexpr std::chrono::milliseconds deadline{5000};  ///< for each
  /// So many wait in the helper's socket, so that it need not wait for the next.
  static constexpr std::size_t most_sent = 16;

 private:
  struct Job {
    boundary::MessageType type;
    std::uint64_t request;
    std::vector<std::string> strings;
    std::shared_ptr<const Fd> first_process;
    Done done;
  };

  /// The store folder of the sandbox that was granted something last: many grafts come in a row.
  struct Target {
    StorePath derivation;
    FileIdentity chroot;
    Fd store;
  };

  [[nodiscard]] int store_of_sandbox(const StorePath& derivation, FileIdentity chroot);
  void add_job(boundary::MessageType type, std::vector<std::string> strings,
               std::shared_ptr<const Fd> first_process, Done done);
  void start_helper();
  void stop_helper();
  void send_next();
  void on_readable();
  void on_deadline();
  void finish(tl::expected<void, Error> result);
  void lose_helper(Failure failure, const std::string& sentence);

  EventLoop& loop_;
  GraftSources sources_;
  bool may_link_;
  Fd store_;                      ///< on the helper's writable mount, from when it is ready
  std::optional<Target> target_;  ///< on the same mount
  std::optional<boundary::Channel> channel_;
  pid_t helper_ = 0;
  bool ready_ = false;    ///< the helper has said that its mounts are made
  std::size_t sent_ = 0;  ///< so many from jobs_.front() on are with the helper
  std::optional<EventLoop::Timer> timer_;
  std::deque<Job> jobs_;
  std::uint64_t next_request_ = 1;
};

}  // namespace airlock::fusefs
