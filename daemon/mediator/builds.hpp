#pragma once

#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <tl/expected.hpp>

#include "daemon/config/config.hpp"
#include "daemon/mediator/build_users.hpp"
#include "daemon/mediator/waits.hpp"

namespace airlock {

/// Who waits for what: the open sessions and their requests to build. Where a new session's parents
/// come from, how the end of a condemned session reaches those that wait for it, what refuses a
/// cycle, and what keeps a request from waiting for ever. Thread-safe.
class Builds {
 public:
  using Clock = waits::Clock;

  Builds(Ledger& ledger, const Limits& limits) : ledger_(ledger), limits_(limits) {}

  /// One request to build, from before upstream is asked until after its answer.
  class Ticket {
   public:
    Ticket(Builds& builds, waits::Requests::iterator request)
        : builds_(builds), request_(request) {}
    Ticket(const Ticket&) = delete;
    Ticket& operator=(const Ticket&) = delete;
    ~Ticket();

    void upstream_waits_for(const waits::Scarce& scarce);
    /// Blocks while other requests are worked on that began before and make one of the derivations,
    /// but not longer than `most`, nor behind one that makes the session that asks, nor when that
    /// is being ended. Upstream would wait for them as well, but looks for their end every few
    /// seconds only. Calls `still_wanted` now and then; what that throws passes through.
    void await_others(const std::set<StorePath>& derivations, Clock::duration most,
                      const std::function<void()>& still_wanted);
    /// Why a session of one of the derivations was condemned or refused meanwhile, if one was.
    [[nodiscard]] std::optional<policy::Condemnation> condemned() const;
    /// Derivations of the request that were refused a session for what they say themselves, and
    /// the sentence for each.
    [[nodiscard]] std::map<StorePath, std::string> refused() const;
    /// Why the session that asks is being ended, if it is.
    [[nodiscard]] std::optional<policy::Condemnation> ended() const;

   private:
    Builds& builds_;
    waits::Requests::iterator request_;
  };

  /// The ticket, or, in one sentence, why the session that asks has to be condemned: a limit, or
  /// that what is asked for is being made by a session that waits for it. Of two sessions that ask
  /// for each other at once, one gets its ticket. As long as the session has as many requests as
  /// Limits::builds this waits for a place and calls `still_wanted` now and then; what that throws
  /// passes through.
  using Admission = tl::expected<std::unique_ptr<Ticket>, policy::Condemnation>;
  [[nodiscard]] Admission begin(LedgerSession session, const policy::BuildPlan& plan,
                                const std::function<void()>& still_wanted);

  /// The sessions that wait for this work now.
  [[nodiscard]] std::set<LedgerSession> waiting_for(const waits::Work& work) const;
  /// A session is open: whoever waits, or begins to wait, for its work becomes its parent.
  void session_opened(waits::Work work, LedgerSession session);
  void session_closed(LedgerSession session);
  /// A session of this derivation was condemned or refused, for a reason of the host's.
  void condemned(const StorePath& derivation, const policy::Condemnation& why);
  /// One was refused for a reason that follows from the derivation.
  void refused(const StorePath& derivation, const std::string& reason);

  /// Blocks until a request begins or comes to wait for something else, or until the given time;
  /// false from stop() on. For one thread.
  [[nodiscard]] bool wait_for_change(const std::optional<Clock::time_point>& until);
  void stop();
  /// A request waits for a build user, or may do so, so that look() wants to know how many there
  /// are.
  [[nodiscard]] bool may_want_users() const;

  struct Ending {
    LedgerSession session = 0;
    policy::Condemnation why;
  };
  struct Outlook {
    std::vector<Ending> endings;            ///< sessions to condemn; each is named once
    std::optional<Clock::time_point> next;  ///< when to look again at the latest
  };
  /// Who has waited too long by now, or waits in vain. `users` are the machine's, where known.
  [[nodiscard]] Outlook look(Clock::time_point now, const std::optional<BuildUsers>& users);

 private:
  using Reason = std::optional<policy::Condemnation>;
  [[nodiscard]] Reason refusal(LedgerSession session, const policy::BuildPlan& plan) const;
  [[nodiscard]] Reason overdue(const waits::Request& request, Clock::time_point now) const;
  [[nodiscard]] std::optional<Ending> deadlock(Clock::time_point now,
                                               const BuildUsers& users) const;
  [[nodiscard]] Clock::time_point next_look(Clock::time_point now) const;
  [[nodiscard]] bool has_place(LedgerSession session) const;
  [[nodiscard]] std::set<std::uint64_t> working_on(const std::set<StorePath>& derivations,
                                                   const waits::Request& asking) const;
  [[nodiscard]] bool any_is_there(const std::set<std::uint64_t>& numbers) const;
  void end(Ending ending, Outlook& outlook);
  void changed();

  mutable std::mutex mutex_;  ///< guards what is below
  Ledger& ledger_;
  const Limits& limits_;
  waits::Requests requests_;
  std::uint64_t next_number_ = 1;
  waits::Sessions open_;
  std::condition_variable places_;  ///< a request has ended
  std::condition_variable change_;
  bool has_changed_ = false;
  bool stopped_ = false;
};

}  // namespace airlock
