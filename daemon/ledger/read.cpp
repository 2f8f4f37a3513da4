#include <SQLiteCpp/SQLiteCpp.h>
#include <fmt/format.h>

#include "daemon/ledger/database.hpp"
#include "daemon/ledger/ledger.hpp"

namespace airlock {

namespace {

SessionState state_of(const std::string& text) {
  for (const auto state : {SessionState::open, SessionState::ended, SessionState::settled})
    if (name_of(state) == text) return state;
  return SessionState::closed;
}

tl::unexpected<std::string> unreadable(const std::string& file, const std::exception& error) {
  return tl::make_unexpected(fmt::format("cannot read the ledger {}: {}", file, error.what()));
}

}  // namespace

tl::expected<std::vector<LedgerSessionRow>, std::string> read_sessions(const std::string& file) {
  try {
    SQLite::Database database = open_to_read(file);
    // One snapshot for all: airlockd may write meanwhile.
    const SQLite::Transaction snapshot(database);
    SQLite::Statement parents(database, "SELECT parent FROM parents WHERE session = ?");
    SQLite::Statement rows(database,
                           "SELECT id, derivation, state, note, opened, "
                           "(SELECT count(*) FROM grants WHERE session = sessions.id) "
                           "FROM sessions ORDER BY id");
    std::vector<LedgerSessionRow> sessions;
    while (rows.executeStep()) {
      auto derivation = StorePath::parse(rows.getColumn(1).getString());
      if (!derivation) return tl::make_unexpected(file + " is damaged: " + derivation.error());
      LedgerSessionRow row{.id = rows.getColumn(0).getInt64(),
                           .derivation = *std::move(derivation),
                           .state = state_of(rows.getColumn(2).getString()),
                           .note = rows.getColumn(3).getString(),
                           .opened = rows.getColumn(4).getInt64(),
                           .granted = rows.getColumn(5).getInt64()};
      parents.reset();
      parents.bind(1, row.id);
      while (parents.executeStep()) row.parents.insert(parents.getColumn(0).getInt64());
      sessions.push_back(std::move(row));
    }
    return sessions;
  } catch (const std::exception& error) {
    return unreadable(file, error);
  }
}

tl::expected<std::vector<LedgerOperation>, std::string> read_operations(const std::string& file,
                                                                        LedgerSession session) {
  try {
    SQLite::Database database = open_to_read(file);
    SQLite::Statement rows(database,
                           "SELECT connection, operation, subject, verdict, rule, reason, "
                           "succeeded, duration FROM operations WHERE session = ? ORDER BY id");
    rows.bind(1, session);
    std::vector<LedgerOperation> operations;
    while (rows.executeStep()) {
      operations.push_back({.session = session,
                            .connection = static_cast<std::uint64_t>(rows.getColumn(0).getInt64()),
                            .operation = rows.getColumn(1).getString(),
                            .subject = rows.getColumn(2).getString(),
                            .verdict = rows.getColumn(3).getString(),
                            .rule = rows.getColumn(4).getString(),
                            .reason = rows.getColumn(5).getString(),
                            .succeeded = rows.getColumn(6).getInt() != 0,
                            .duration = std::chrono::microseconds(rows.getColumn(7).getInt64())});
    }
    return operations;
  } catch (const std::exception& error) {
    return unreadable(file, error);
  }
}

}  // namespace airlock
