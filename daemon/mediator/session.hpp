#pragma once

#include <atomic>
#include <condition_variable>
#include <functional>
#include <future>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <shared_mutex>
#include <stdexcept>
#include <string>
#include <tl/expected.hpp>

#include "daemon/mediator/boundary.hpp"
#include "daemon/mediator/builds.hpp"
#include "daemon/mediator/debts.hpp"
#include "daemon/mediator/locked_fetches.hpp"
#include "daemon/mediator/path_infos.hpp"
#include "daemon/mediator/upstream_line.hpp"
#include "daemon/policy/condemnation.hpp"
#include "daemon/policy/scene.hpp"

namespace airlock {

namespace fetch {
class Fetcher;
}

/// Who decides what a client may do.
enum class Profile {
  strict,   ///< the rules of daemon/policy
  observe,  ///< the real daemon; what the rules would have said is recorded
};

/// What sessions and connections are given to work with. All of it outlives them.
struct Services {
  const Config& config;
  Ledger& ledger;
  Boundary& boundary;
  Builds& builds;
  UpstreamFactory connect_upstream;
  Profile profile = Profile::strict;
  bool keeps_debts = true;   ///< grants are held by roots on disk, for outputs to be settled
  bool use_database = true;  ///< Nix's own database is that of upstream
  fetch::Fetcher* fetcher = nullptr;  ///< for what is locked; null: nothing is fetched
  FetchTurns* fetch_turns = nullptr;  ///< for the use of the fetcher; null where that is
};

/// Thrown inside an operation when the sandbox must not see how it ends. what() is the reason.
class Condemned : public std::runtime_error {
 public:
  Condemned(std::string_view rule, const std::string& reason)
      : std::runtime_error(reason), rule_(rule) {}
  explicit Condemned(const policy::Condemnation& why) : Condemned(why.rule, why.reason) {}
  /// A constant: of policy::rule, or a verdict's.
  [[nodiscard]] std::string_view rule() const { return rule_; }

 private:
  std::string_view rule_;
};

/// One build's right to be in the airlock: its visible set, and what it owes.
///
/// open → ended: the sandbox's first process is gone, nothing more is granted. Settling and closing
/// are airlock-fs's and the hook's to tell; the debts on disk carry them through a crash.
/// Thread-safe. Lock order: granting_ before visible_mutex_ and derivations_mutex_.
class Session final : public policy::Scene {
 public:
  Session(SessionNumber number, LedgerSession ledger_id, StorePath path, Derivation derivation,
          std::set<StorePath> inputs, Services& services, fetch::Locks locks = {});

  [[nodiscard]] SessionNumber number() const { return number_; }
  [[nodiscard]] LedgerSession ledger_id() const { return ledger_id_; }
  [[nodiscard]] const StorePath& path() const { return path_; }

  // What rules may look at.
  [[nodiscard]] const StoreLayout& layout() const override { return services_.config.layout; }
  [[nodiscard]] bool visible(const StorePath& path) const override;
  [[nodiscard]] std::shared_ptr<const Derivation> derivation(const StorePath& path) const override;
  [[nodiscard]] FixedOutputPolicy fixed_output() const override { return fixed_output_; }
  [[nodiscard]] bool is_own_output(const StorePath& path) const override;

  /// Its derivation is a fixed-output one, so that content can turn out to be its output.
  [[nodiscard]] bool has_content_addressed_output() const;

  [[nodiscard]] std::set<StorePath> visible_paths() const;
  /// What the view is to list: also what is being granted, and may be listed already.
  [[nodiscard]] std::set<StorePath> listed_paths() const;
  [[nodiscard]] std::optional<StorePath> visible_path_with_hash(std::string_view hash_part) const;

  /// A visible path's info as a sandbox may see it: no deriver, time, signatures, ultimate.
  /// Throws Condemned when it cannot be had.
  [[nodiscard]] wire::PathInfo path_info(const StorePath& path);
  [[nodiscard]] static wire::PathInfo censored(wire::PathInfo info);
  /// Visible paths that refer to this one. Throws Condemned.
  [[nodiscard]] std::set<StorePath> referrers(const StorePath& path);

  /// One more of the operations that a session may ask, or a connection of its that broke the
  /// protocol before there was one. Throws Condemned.
  void count_operation();

  /// Keeps the parsed form of a derivation that the session is about to be granted, if it is not
  /// too much; what is not kept is read again when it is asked for.
  void remember(const StorePath& path, Derivation derivation);

  /// Something is going to be built: the connection that will hold the outputs is made meanwhile.
  void expect_grants();
  /// Makes the closure of these valid paths visible: held against garbage collection first, then
  /// listed and grafted, then visible to the rules. Only after it returns may a reply name them.
  /// Throws Condemned when the host cannot, or when a limit is reached.
  void grant(const std::set<StorePath>& paths, const std::string& how);
  /// The same for paths that upstream has added for this session. Nix gives whoever adds a path a
  /// temporary root for as long as the connection lasts, so it need not be asked for another while
  /// it does; see keep_roots.
  void grant_added(const std::set<StorePath>& paths);
  /// The same for one, whose references the rules had to find visible; info as upstream gave it.
  void grant_added(const StorePath& path, const wire::PathInfo& info);
  /// A connection that may have added something is about to be closed: holds what was added over
  /// the session's own. Where that fails it is tried again with the next one, and the links on disk
  /// hold it meanwhile; `airlock proxy` has none.
  void keep_roots() noexcept;
  /// grant, for one path that need not be valid; false when it is not.
  [[nodiscard]] bool grant_if_valid(const StorePath& path, const std::string& how);
  /// Upstream was given this path, or so many bytes of it, and it may never be granted: on the host
  /// it is there all the same. Counts it as if it were granted, once, by the most that it was.
  /// Throws Condemned when a limit is reached.
  void count_taken(const StorePath& path, std::uint64_t bytes);
  /// derivation, for a path that the session has added and was not granted yet.
  [[nodiscard]] std::shared_ptr<const Derivation> added_derivation(const StorePath& path) const;
  /// Its clients' connections to upstream.
  [[nodiscard]] SpareUpstream& spare_upstream() { return spare_upstream_; }
  /// What its derivation's lock files name.
  [[nodiscard]] LockedFetches& fetches() { return fetches_; }
  /// Profile observe: counts the closure of these paths as visible, and does nothing for it. What
  /// is not valid is left out.
  void note(const std::set<StorePath>& paths);
  /// The output paths that a target asks for; none where the derivation cannot be read.
  [[nodiscard]] std::set<StorePath> outputs_of(const wire::Target& target) const;

  /// Ends the sandbox, once; the reason goes to the build log and to the ledger. False when
  /// airlock-fs could not do it: the builder lives, so what it waits for must not end either (see
  /// hold).
  [[nodiscard]] bool condemn(const policy::Condemnation& why);
  /// Waits until the session is stopped. airlock-fs, when it is started again, does not resume a
  /// session that is condemned; until then a builder gets no answer to go on with.
  void hold() const;
  /// Lets go of those that hold.
  void stop();
  [[nodiscard]] bool condemned() const;

  /// Nothing more is granted, and nobody has to wait for it any more.
  void end();
  /// After end, when no connection uses it any more: waits for what it has begun itself.
  void join();

 private:
  /// Both with granting_ held. Waits until it is there; throws UpstreamLost.
  [[nodiscard]] Upstream& roots_connection();
  /// Is it there? Begins to make it when not.
  bool call_for_roots();
  /// With derivations_mutex_ held.
  void keep(const StorePath& path, const std::shared_ptr<const Derivation>& derivation) const;
  /// All three with granting_ held. Counts what is about to be granted, or was taken, and throws
  /// Condemned when it is too much.
  void account_for(const PathInfos::Sizes& closure);
  void count(const StorePath& path, std::uint64_t bytes);
  void require_limits() const;

  [[nodiscard]] bool ended() const;
  /// The closure without what is visible. Throws Condemned when some of it is not valid.
  [[nodiscard]] PathInfos::Sizes not_visible(const std::set<StorePath>& paths);
  /// Who holds what is being granted already.
  enum class Holder { nobody, who_added_it };
  // Both with granting_ held.
  void hold(const std::set<StorePath>& paths, Holder holder);
  void reveal(const PathInfos::Sizes& closure, const std::string& how, Holder holder);

  const SessionNumber number_;
  const LedgerSession ledger_id_;
  const StorePath path_;
  const Derivation derivation_;
  const FixedOutputPolicy fixed_output_;
  Services& services_;

  mutable std::shared_mutex visible_mutex_;
  std::set<StorePath> visible_;
  std::set<StorePath> on_their_way_;  ///< being granted
  mutable std::mutex derivations_mutex_;
  mutable std::map<StorePath, std::shared_ptr<const Derivation>> derivations_;
  mutable std::size_t derivations_size_ = 0;  ///< of derivations_, about
  std::atomic<std::uint64_t> operations_ = 0;

  std::mutex granting_;  ///< one grant at a time; guards roots_ and what was granted
  std::uint64_t granted_paths_ = 0;
  std::uint64_t granted_bytes_ = 0;
  std::map<StorePath, std::uint64_t> taken_;  ///< counted in these two and not granted; their sizes
  Debts debts_;
  std::unique_ptr<Upstream> roots_;  ///< its temporary roots last as long as the session
  std::future<std::unique_ptr<Upstream>> coming_roots_;  ///< until it is there
  std::set<StorePath> held_by_adder_;                    ///< granted, and not held by roots_

  SpareUpstream spare_upstream_;
  PathInfos infos_;
  LockedFetches fetches_;

  mutable std::mutex state_mutex_;
  bool ended_ = false;
  bool condemned_ = false;
  bool killed_ = false;
  bool stopped_ = false;
  mutable std::condition_variable stopping_;
};

/// Reads and parses a .drv file from the store. The error is one sentence.
[[nodiscard]] tl::expected<Derivation, std::string> read_derivation(const Config& config,
                                                                    const StorePath& path);

}  // namespace airlock
