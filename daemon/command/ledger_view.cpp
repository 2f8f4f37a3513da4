#include "daemon/command/ledger_view.hpp"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <algorithm>
#include <set>

namespace airlock::command {

namespace {

using Row = std::vector<std::string>;

/// The columns of a table, as wide as their widest cell; the last one is not filled up. Counts
/// code points, as the tree is drawn with more than ASCII.
std::size_t width(const std::string& cell) {
  return static_cast<std::size_t>(
      std::ranges::count_if(cell, [](char c) { return (c & 0xC0) != 0x80; }));
}

std::string table(const std::vector<Row>& rows) {
  std::vector<std::size_t> widths(rows.front().size());
  for (const Row& row : rows)
    for (std::size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], width(row[i]));
  std::string text;
  for (const Row& row : rows) {
    std::string line;
    for (std::size_t i = 0; i < row.size(); ++i)
      line += row[i] + std::string(widths[i] - width(row[i]) + 2, ' ');
    line.resize(line.find_last_not_of(' ') + 1);
    text += line + '\n';
  }
  return text;
}

std::string time_text(std::int64_t seconds) {
  return fmt::format("{:%Y-%m-%d %H:%M:%S}", fmt::localtime(static_cast<std::time_t>(seconds)));
}

std::string duration_text(std::chrono::microseconds duration) {
  const auto count = duration.count();
  if (count < 10'000) return fmt::format("{} us", count);
  if (count < 10'000'000) return fmt::format("{} ms", count / 1000);
  return fmt::format("{} s", count / 1'000'000);
}

class Tree {
 public:
  explicit Tree(const std::vector<LedgerSessionRow>& sessions) : sessions_(sessions) {
    for (const auto& session : sessions) known_.insert(session.id);
    for (const auto& session : sessions)
      for (const LedgerSession parent : session.parents) children_[parent].push_back(&session);
  }

  std::vector<Row> draw() {
    rows_.push_back({"session", "derivation", "state", "granted", "opened", "note"});
    for (const auto& session : sessions_)
      if (std::ranges::none_of(session.parents, [&](auto id) { return known_.contains(id); }))
        add(session, "", "");
    // Sessions that only one another asked for cannot be, but a ledger is shown whatever it says.
    for (const auto& session : sessions_)
      if (!drawn_.contains(session.id)) add(session, "", "");
    return std::move(rows_);
  }

 private:
  void add(const LedgerSessionRow& session, const std::string& before, const std::string& below) {
    const bool first = drawn_.insert(session.id).second;
    const std::string number = fmt::format("{}{}", before, session.id);
    if (!first) {
      rows_.push_back({number, session.derivation.base(), "(above)", "", "", ""});
      return;
    }
    rows_.push_back({number, session.derivation.base(), std::string(name_of(session.state)),
                     std::to_string(session.granted), time_text(session.opened), session.note});
    const auto& children = children_[session.id];
    for (const auto* child : children) {
      const bool last = child == children.back();
      add(*child, below + (last ? "└─ " : "├─ "), below + (last ? "   " : "│  "));
    }
  }

  const std::vector<LedgerSessionRow>& sessions_;
  std::set<LedgerSession> known_;
  std::set<LedgerSession> drawn_;
  std::map<LedgerSession, std::vector<const LedgerSessionRow*>> children_;
  std::vector<Row> rows_;
};

std::string operations_table(const std::vector<LedgerOperation>& operations) {
  std::vector<Row> rows{
      {"connection", "operation", "verdict", "rule", "result", "time", "subject"}};
  for (const LedgerOperation& operation : operations) {
    std::string subject = operation.subject;
    if (!operation.reason.empty()) subject += (subject.empty() ? "" : ": ") + operation.reason;
    rows.push_back({std::to_string(operation.connection), operation.operation, operation.verdict,
                    operation.rule, operation.succeeded ? "ok" : "failed",
                    duration_text(operation.duration), subject});
  }
  return table(rows);
}

}  // namespace

std::string as_text(const LedgerExcerpt& excerpt) {
  if (excerpt.sessions.empty()) return "no sessions\n";
  std::string text = table(Tree(excerpt.sessions).draw());
  for (const LedgerSessionRow& session : excerpt.sessions) {
    const auto operations = excerpt.operations.find(session.id);
    if (operations == excerpt.operations.end() || operations->second.empty()) continue;
    text += fmt::format("\nsession {}: {}\n", session.id, session.derivation.base());
    text += operations_table(operations->second);
  }
  return text;
}

}  // namespace airlock::command
