#pragma once

#include <map>
#include <string>
#include <vector>

#include "daemon/ledger/ledger.hpp"

namespace airlock::command {

/// Sessions, and the operations of those that are shown.
struct LedgerExcerpt {
  std::vector<LedgerSessionRow> sessions;  ///< oldest first
  std::map<LedgerSession, std::vector<LedgerOperation>> operations;
};

/// For people: the sessions as a tree, a session below each that asked for it (in full only once),
/// and after it a table of operations for each session that had some.
[[nodiscard]] std::string as_text(const LedgerExcerpt& excerpt);

/// For programs: {"sessions": [{"id", "derivation", "parents", "state", "note", "opened",
/// "granted", "operations": [{"connection", "operation", "subject", "verdict", "rule", "reason",
/// "succeeded", "microseconds"}]}]}.
[[nodiscard]] std::string as_json(const LedgerExcerpt& excerpt);

/// One of those operations on a line of its own, in ASCII, its keys in alphabetical order.
[[nodiscard]] std::string as_json_line(const LedgerOperation& operation);

}  // namespace airlock::command
