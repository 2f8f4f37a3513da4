#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <tl/expected.hpp>
#include <vector>

#include "fusefs/boundary/store_path.hpp"

namespace airlock {

enum class SessionState { open, ended, settled, closed };
[[nodiscard]] std::string_view name_of(SessionState state);

/// The number of a session in the ledger; never used twice, also not after a restart.
using LedgerSession = std::int64_t;

/// One operation a sandbox sent, and what became of it.
struct LedgerOperation {
  LedgerSession session = 0;
  std::uint64_t connection = 0;  ///< counted from 1 within the session
  std::string operation;         ///< the protocol's name, e.g. "AddToStore"; "handshake" for that
  std::string subject;           ///< what it was about: paths, names; at most 4 KiB, printable
  std::string verdict;           ///< "allow", "answer", "deny", "condemn", "broken"
  std::string rule;              ///< the id of the rule that decided, e.g. "path-visible"
  std::string reason;            ///< of a denial or failure, else empty; as subject
  bool succeeded = false;
  std::chrono::microseconds duration{};
};

/// A session as it is read back for people.
struct LedgerSessionRow {
  LedgerSession id = 0;
  StorePath derivation;
  std::set<LedgerSession> parents;  ///< the sessions that asked for this derivation
  SessionState state = SessionState::open;
  std::string note;          ///< why it was condemned, or how it was settled; may be empty
  std::int64_t opened = 0;   ///< Unix time
  std::int64_t granted = 0;  ///< paths granted beyond the inputs
};

/// The record of who asked for what. Writing never fails a build: errors are logged, once a minute
/// at most. Thread-safe.
class Ledger {
 public:
  Ledger() = default;
  Ledger(const Ledger&) = delete;
  Ledger& operator=(const Ledger&) = delete;
  virtual ~Ledger() = default;

  [[nodiscard]] virtual LedgerSession open_session(const StorePath& derivation,
                                                   const std::set<LedgerSession>& parents) = 0;
  virtual void add_parent(LedgerSession session, LedgerSession parent) = 0;
  virtual void set_state(LedgerSession session, SessionState state, const std::string& note) = 0;
  virtual void record(const LedgerOperation& operation) = 0;
  virtual void record_grant(LedgerSession session, const StorePath& path,
                            const std::string& how) = 0;  ///< how: "added", "built"
};

/// The ledger in a SQLite file (schema.sql beside this file), WAL mode, file mode 0640. Sessions
/// that a crashed predecessor left open or ended are marked closed with a note, and those that were
/// closed more than keep_days ago are dropped with all that was recorded of them.
[[nodiscard]] tl::expected<std::unique_ptr<Ledger>, std::string> open_ledger(
    const std::string& file, std::uint32_t keep_days = 90);

/// Reading, for `airlock ledger`. A null derivation means all sessions; newest last.
[[nodiscard]] tl::expected<std::vector<LedgerSessionRow>, std::string> read_sessions(
    const std::string& file);
[[nodiscard]] tl::expected<std::vector<LedgerOperation>, std::string> read_operations(
    const std::string& file, LedgerSession session);

}  // namespace airlock
