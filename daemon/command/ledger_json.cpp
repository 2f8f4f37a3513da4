#include <nlohmann/json.hpp>

#include "daemon/command/ledger_view.hpp"

namespace airlock::command {

namespace {

using Json = nlohmann::ordered_json;

Json as_json_value(const LedgerOperation& operation) {
  return {{"connection", operation.connection},
          {"operation", operation.operation},
          {"subject", operation.subject},
          {"verdict", operation.verdict},
          {"rule", operation.rule},
          {"reason", operation.reason},
          {"succeeded", operation.succeeded},
          {"microseconds", operation.duration.count()}};
}

}  // namespace

std::string as_json(const LedgerExcerpt& excerpt) {
  Json sessions = Json::array();
  for (const LedgerSessionRow& session : excerpt.sessions) {
    Json operations = Json::array();
    if (const auto found = excerpt.operations.find(session.id); found != excerpt.operations.end())
      for (const LedgerOperation& operation : found->second)
        operations.push_back(as_json_value(operation));
    sessions.push_back({{"id", session.id},
                        {"derivation", session.derivation.base()},
                        {"parents", session.parents},
                        {"state", name_of(session.state)},
                        {"note", session.note},
                        {"opened", session.opened},
                        {"granted", session.granted},
                        {"operations", std::move(operations)}});
  }
  return Json{{"sessions", std::move(sessions)}}.dump(2) + "\n";
}

std::string as_json_line(const LedgerOperation& operation) {
  const nlohmann::json sorted = as_json_value(operation);
  return sorted.dump(-1, ' ', true, nlohmann::json::error_handler_t::replace) + "\n";
}

}  // namespace airlock::command
