#pragma once

#include <chrono>
#include <condition_variable>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <tl/expected.hpp>
#include <utility>
#include <vector>

#include "fusefs/boundary/channel.hpp"
#include "fusefs/boundary/store_path.hpp"

namespace airlock {

/// airlock-fs's number for a session. The next airlock-fs keeps it.
using SessionNumber = std::uint64_t;

/// What airlockd may ask of airlock-fs. Thread-safe. Errors are one sentence; they are faults of
/// the host or of the caller's sandbox, never ordinary answers.
class Boundary {
 public:
  using Result = tl::expected<void, std::string>;
  /// What the view has besides what every view has.
  struct View {
    std::vector<std::pair<std::string, StorePath>> search_path;
    std::vector<std::pair<std::string, std::string>> settings;  ///< of its nix.conf
  };

  Boundary() = default;
  Boundary(const Boundary&) = delete;
  Boundary& operator=(const Boundary&) = delete;
  virtual ~Boundary() = default;

  /// Is the peer of this connected socket inside the session's sandbox?
  virtual Result verify(SessionNumber session, int socket) = 0;
  /// Lists paths in the session's view. For the inputs, which the sandbox has at their place.
  virtual Result reveal(SessionNumber session, const std::set<StorePath>& paths) = 0;
  /// Lists the paths and makes each readable at its place in the sandbox. After an error some may
  /// be.
  virtual Result grant(SessionNumber session, const std::set<StorePath>& paths) = 0;
  /// Ends the sandbox; returns when its first process has been killed.
  virtual Result condemn(SessionNumber session, const std::string& reason) = 0;
};

/// The control connection to airlock-fs, and to the next one when that is lost. What is asked about
/// a session meanwhile, or was not answered yet, waits until the session was resumed, and is asked
/// (again) then: every request may be repeated. It fails when airlock-fs does not come back within
/// `patience`, or comes back without the session.
class ControlChannel final : public Boundary {
 public:
  static constexpr std::chrono::seconds default_patience{60};
  explicit ControlChannel(std::chrono::milliseconds patience = default_patience)
      : patience_(patience) {}

  /// Connects to airlock-fs's socket and waits until it has said welcome: the kernel also takes a
  /// connection for a process that is being killed. Gives up when `stopping` becomes true. The
  /// error is one sentence.
  [[nodiscard]] static tl::expected<boundary::Channel, std::string> connect(
      const std::string& path, const std::function<bool()>& stopping);

  /// Goes on over this connection. Not while run runs.
  void take_up(boundary::Channel channel);
  /// airlock-fs has announced the session on the connection there is.
  void add(SessionNumber session);
  /// No more will be asked about it; who waits to is told that it is gone.
  void remove(SessionNumber session);
  /// Has airlock-fs make the session's view as it was, and put it back into the sandbox; from then
  /// on requests go through again.
  Result resume(SessionNumber session, const std::set<StorePath>& paths, const View& view);
  /// From now on nothing waits for an airlock-fs that is away.
  void give_up();

  Result verify(SessionNumber session, int socket) override;
  Result reveal(SessionNumber session, const std::set<StorePath>& paths) override;
  Result grant(SessionNumber session, const std::set<StorePath>& paths) override;
  Result condemn(SessionNumber session, const std::string& reason) override;

  /// Ends the wait of the pre-build hook that announced the session. Says nothing when the
  /// connection that it was announced on is lost.
  void ready(SessionNumber session, const View& view);
  void refuse(SessionNumber session, const std::string& reason);
  /// Its derivation does not ask for a session: in static mode it goes on without.
  void decline(SessionNumber session);

  /// Receives until airlock-fs is gone; events go to the handler, on this thread. Returns why it
  /// ended.
  std::string run(const std::function<void(boundary::Received)>& handler);
  /// Makes run return.
  void close();

 private:
  using Clock = std::chrono::steady_clock;
  using Line = std::shared_ptr<boundary::Channel>;
  using Request = std::uint64_t;
  struct Waiting {
    Line line;
    std::optional<Result> answer{};
    /// Its own: many sessions may wait at once, and an answer is for one of them.
    std::condition_variable over{};
  };

  /// The connection on which airlock-fs knows the session; waits for it.
  tl::expected<Line, std::string> line_of(SessionNumber session, Clock::time_point deadline);
  Result ask(const boundary::Message& message, int descriptor = -1);
  // Nothing when the connection is lost.
  std::optional<Request> send(const Line& line, boundary::Message message, int descriptor = -1);
  std::optional<Result> await(Request request);
  std::optional<Result> ask_over(const Line& line, boundary::Message message, int descriptor = -1);
  std::optional<Result> grant_over(const Line& line, SessionNumber session,
                                   std::deque<StorePath>& paths);
  [[nodiscard]] Line line();
  /// After a message that could not be sent over it: nothing when that is why, or the error.
  std::optional<Result> loss_of(const Line& line);
  void take_answer(const boundary::Message& message);

  const std::chrono::milliseconds patience_;
  std::mutex mutex_;  ///< guards what is below
  std::condition_variable changed_;
  Line line_;  ///< none while airlock-fs is away
  bool given_up_ = false;
  std::map<SessionNumber, Line> sessions_;  ///< and on which connection it is known
  Request next_request_ = 1;
  std::map<Request, Waiting> waiting_;
};

}  // namespace airlock
