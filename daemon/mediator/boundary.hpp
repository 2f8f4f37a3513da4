#pragma once

#include <condition_variable>
#include <functional>
#include <map>
#include <mutex>
#include <set>
#include <string>
#include <tl/expected.hpp>
#include <utility>
#include <vector>

#include "fusefs/boundary/channel.hpp"
#include "fusefs/boundary/store_path.hpp"

namespace airlock {

/// airlock-fs's number for a session, unique as long as both processes live.
using SessionNumber = std::uint64_t;

/// What airlockd may ask of airlock-fs. Thread-safe. Errors are one sentence; they are faults of
/// the host or of the caller's sandbox, never ordinary answers.
class Boundary {
 public:
  using Result = tl::expected<void, std::string>;
  using SearchPath = std::vector<std::pair<std::string, StorePath>>;

  Boundary() = default;
  Boundary(const Boundary&) = delete;
  Boundary& operator=(const Boundary&) = delete;
  virtual ~Boundary() = default;

  /// Is the peer of this connected socket inside the session's sandbox?
  virtual Result verify(SessionNumber session, int socket) = 0;
  /// Lists paths in the session's view. For the inputs, which the sandbox has at their place.
  virtual Result reveal(SessionNumber session, const std::set<StorePath>& paths) = 0;
  /// Lists the path and makes it readable at its place in the sandbox.
  virtual Result grant(SessionNumber session, const StorePath& path) = 0;
  /// grant for each, without waiting for one before the next is asked for; returns when all are
  /// answered, with the first failure.
  virtual Result grant_all(SessionNumber session, const std::vector<StorePath>& paths) {
    for (const auto& path : paths)
      if (auto done = grant(session, path); !done) return done;
    return {};
  }
  /// Ends the sandbox; returns when its first process has been killed.
  virtual Result condemn(SessionNumber session, const std::string& reason) = 0;
};

/// The control connection to airlock-fs.
class ControlChannel final : public Boundary {
 public:
  explicit ControlChannel(boundary::Channel channel) : channel_(std::move(channel)) {}

  /// Connects to airlock-fs's socket and waits until it has said welcome: the kernel also takes a
  /// connection for a process that is being killed. Gives up when `stopping` becomes true. The
  /// error is one sentence.
  [[nodiscard]] static tl::expected<boundary::Channel, std::string> connect(
      const std::string& path, const std::function<bool()>& stopping);

  Result verify(SessionNumber session, int socket) override;
  Result reveal(SessionNumber session, const std::set<StorePath>& paths) override;
  Result grant(SessionNumber session, const StorePath& path) override;
  Result grant_all(SessionNumber session, const std::vector<StorePath>& paths) override;
  Result condemn(SessionNumber session, const std::string& reason) override;

  /// Ends the wait of the pre-build hook that announced the session.
  void ready(SessionNumber session, const SearchPath& search_path);
  void refuse(SessionNumber session, const std::string& reason);
  /// Its derivation does not ask for a session: in static mode it goes on without.
  void decline(SessionNumber session);

  /// Receives until airlock-fs is gone; events go to the handler, on this thread. Returns why it
  /// ended. From then on every request fails.
  std::string run(const std::function<void(boundary::Received)>& handler);
  /// Makes run return.
  void close();

 private:
  Result ask(boundary::Message message, int descriptor = -1);
  /// Sends the request; its answer is to be waited for. 0 when airlock-fs is gone.
  std::uint64_t send_request(boundary::Message message, int descriptor);
  Result wait_for_answer(std::uint64_t request);

  boundary::Channel channel_;
  std::mutex mutex_;
  std::condition_variable answered_;
  std::uint64_t next_request_ = 1;
  bool closed_ = false;
  std::map<std::uint64_t, std::optional<Result>> waiting_;
};

}  // namespace airlock
