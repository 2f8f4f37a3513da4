#include "daemon/command/operation_record.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <nlohmann/json.hpp>

#include "daemon/command/ledger_view.hpp"
#include "daemon/command/text.hpp"
#include "daemon/core/plain_line.hpp"

namespace airlock::command {

namespace {

std::string line_of(const nlohmann::json& object) {
  return object.dump(-1, ' ', true, nlohmann::json::error_handler_t::replace) + "\n";
}

}  // namespace

tl::expected<std::unique_ptr<OperationRecord>, std::string> OperationRecord::open(
    const std::string& file) {
  Fd opened;
  if (file == "-")
    opened = Fd(::dup(STDOUT_FILENO));
  else if (!file.empty())
    opened = Fd(::open(file.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600));
  if (!file.empty() && !opened)
    return tl::unexpected(fmt::format("cannot write to {}: {}", file, std::strerror(errno)));
  return std::unique_ptr<OperationRecord>(new OperationRecord(std::move(opened)));
}

LedgerSession OperationRecord::open_session(const StorePath&, const std::set<LedgerSession>&) {
  return 1;
}

void OperationRecord::record(const LedgerOperation& operation) {
  auto plain = operation;
  plain.reason = one_plain_line(plain.reason);
  write_line(as_json_line(plain));
}

void OperationRecord::record_grant(LedgerSession, const StorePath& path, const std::string& how) {
  write_line(line_of({{"path", path.base()}, {"how", how}}));
}

void OperationRecord::write_line(const std::string& line) {
  if (!file_) return;
  const std::lock_guard lock(mutex_);
  put(file_.get(), line);
}

}  // namespace airlock::command
