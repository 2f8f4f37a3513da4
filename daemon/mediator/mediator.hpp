#pragma once

#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <string>

#include "daemon/fetch/conversation.hpp"
#include "daemon/mediator/build_watch.hpp"
#include "daemon/mediator/opening.hpp"
#include "daemon/mediator/session_server.hpp"

namespace airlock {

/// All sessions of one control connection: opens them as airlock-fs announces them and takes them
/// through their states. Lives as long as the connection; what is owed outlives it on disk.
class Mediator {
 public:
  Mediator(const Config& config, Ledger& ledger, UpstreamFactory connect, ControlChannel& control);
  Mediator(const Mediator&) = delete;
  Mediator& operator=(const Mediator&) = delete;
  ~Mediator() = default;  ///< ends every session, and waits for that

  /// One message that airlock-fs sent unasked; called by one thread. Never waits for a sandbox, for
  /// upstream or for an answer of airlock-fs, which the same thread would have to receive.
  void handle(boundary::Received received);

  /// Ends every sandbox, while airlock-fs still answers: for a stop that was asked for.
  void condemn_all(const std::string& reason);

 private:
  struct Hosted {
    StorePath derivation;
    LedgerSession ledger_id = 0;  ///< 0 until it is open
    bool ended = false;
    std::unique_ptr<SessionServer> server;
  };

  /// Throws std::system_error when no thread can be started.
  [[nodiscard]] std::unique_ptr<SessionServer> serve(SessionNumber number,
                                                     const StorePath& derivation, bool announced,
                                                     Fd listening);
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
  Services services_;
  std::mutex mutex_;  ///< guards what is below
  std::map<LedgerSession, std::uint32_t> depths_;
  std::map<SessionNumber, Hosted> sessions_;
  std::list<std::unique_ptr<SessionServer>> closing_;  ///< told to stop, not finished yet
  BuildWatch watch_;  ///< last, so that it ends first: it uses all of the above
};

}  // namespace airlock
