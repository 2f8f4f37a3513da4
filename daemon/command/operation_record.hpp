#pragma once

#include <memory>
#include <mutex>
#include <string>
#include <tl/expected.hpp>

#include "daemon/ledger/ledger.hpp"
#include "fusefs/boundary/fd.hpp"

namespace airlock::command {

/// A ledger for people and programs to read along: each operation is one JSON object on one line,
/// with the names that `airlock ledger --json` uses; grants are lines with "path" and "how".
/// Thread-safe. What cannot be written is lost.
class OperationRecord final : public Ledger {
 public:
  /// Appends to the file; "-" is standard output, "" nowhere. The error is one sentence.
  [[nodiscard]] static tl::expected<std::unique_ptr<OperationRecord>, std::string> open(
      const std::string& file);

  [[nodiscard]] LedgerSession open_session(const StorePath&,
                                           const std::set<LedgerSession>&) override;
  void add_parent(LedgerSession, LedgerSession) override {}
  void set_state(LedgerSession, SessionState, const std::string&) override {}
  void record(const LedgerOperation& operation) override;
  void record_grant(LedgerSession, const StorePath& path, const std::string& how) override;

 private:
  explicit OperationRecord(Fd file) : file_(std::move(file)) {}
  void write_line(const std::string& line);

  std::mutex mutex_;
  Fd file_;
};

}  // namespace airlock::command
