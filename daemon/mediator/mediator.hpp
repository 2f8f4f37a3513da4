#pragma once

#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>

#include "daemon/fetch/conversation.hpp"
#include "daemon/mediator/build_watch.hpp"
#include "daemon/mediator/opening.hpp"
#include "daemon/mediator/session_server.hpp"

namespace airlock {

/// All sessions: opens them as airlock-fs announces them, takes them through their states, and has
/// the next airlock-fs resume them. What is owed outlives it on disk.
class Mediator {
 public:
  Mediator(const Config& config, Ledger& ledger, UpstreamFactory connect, ControlChannel& control);
  Mediator(const Mediator&) = delete;
  Mediator& operator=(const Mediator&) = delete;
  ~Mediator() = default;  ///< ends every session, and waits for that

  /// One message that airlock-fs sent unasked; called by one thread. Never waits for a sandbox, for
  /// upstream or for an answer of airlock-fs, which the same thread would have to receive.
  void handle(boundary::Received received);

  /// The connection that messages came over is lost.
  void lost();

  /// Ends every sandbox, while airlock-fs still answers: for a stop that was asked for.
  void condemn_all(const std::string& reason);

 private:
  struct Hosted {
    StorePath derivation;
    LedgerSession ledger_id = 0;  ///< 0 until it is open
    bool ended = false;
    Boundary::View view;
    std::unique_ptr<SessionServer> server;
  };

  /// Throws std::system_error when no thread can be started.
  [[nodiscard]] std::unique_ptr<SessionServer> serve(SessionNumber number,
                                                     const StorePath& derivation, bool announced,
                                                     Fd listening);
  void opened(boundary::Received received);
  void resumed(boundary::Received received);
  void resume(Session& session);
  void end_the_rest();
  [[nodiscard]] std::shared_ptr<Session> open(SessionNumber number, const StorePath& derivation,
                                              bool announced);
  void refuse(SessionNumber number, const StorePath& derivation, const Refusal& refusal);
  void end(SessionNumber number);
  void settled(SessionNumber number);
  void close(SessionNumber number);
  [[nodiscard]] std::uint32_t depth_below(const std::set<LedgerSession>& parents);
  void condemn(const Builds::Ending& ending);

  const Config& config_;
  Ledger& ledger_;
  ControlChannel& control_;
  Builds builds_;
  fetch::FetchService fetcher_;
  FetchTurns fetch_turns_;
  Services services_;
  std::mutex mutex_;  ///< guards what is below
  std::map<LedgerSession, std::uint32_t> depths_;
  std::map<SessionNumber, Hosted> sessions_;
  std::set<SessionNumber> resumed_;                    ///< named since the connection was made
  std::list<std::unique_ptr<SessionServer>> closing_;  ///< told to stop, not finished yet
  BuildWatch watch_;  ///< last, so that it ends first: it uses all of the above
};

}  // namespace airlock
