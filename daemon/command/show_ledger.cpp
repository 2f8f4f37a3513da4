#include "daemon/command/show_ledger.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include "daemon/command/ledger_view.hpp"
#include "daemon/command/text.hpp"

namespace airlock::command {

int show_ledger(const Config& config, const ShowLedger& wanted) {
  auto sessions = read_sessions(config.ledger);
  if (!sessions) {
    complain(sessions.error());
    return failure;
  }
  const std::string derivation = wanted.derivation.substr(wanted.derivation.rfind('/') + 1);
  LedgerExcerpt excerpt;
  for (LedgerSessionRow& session : *sessions) {
    if (wanted.session && session.id != *wanted.session) continue;
    if (!derivation.empty() && session.derivation.base() != derivation) continue;
    auto operations = read_operations(config.ledger, session.id);
    if (!operations) {
      complain(operations.error());
      return failure;
    }
    excerpt.operations.emplace(session.id, *std::move(operations));
    excerpt.sessions.push_back(std::move(session));
  }
  const bool narrowed = wanted.session || !derivation.empty();
  if (excerpt.sessions.empty() && narrowed && !wanted.json) {
    complain("the ledger has no such session: 'airlock ledger' lists all");
    return failure;
  }
  put(STDOUT_FILENO, wanted.json ? as_json(excerpt) : as_text(excerpt));
  return success;
}

}  // namespace airlock::command
