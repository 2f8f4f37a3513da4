#include "daemon/store/nix_database.hpp"

#include <fmt/format.h>
#include <sqlite3.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "daemon/core/hash.hpp"

namespace airlock {

namespace {

constexpr int busy_milliseconds = 2000;

std::string column_text(sqlite3_stmt* statement, int column) {
  const auto* text = reinterpret_cast<const char*>(sqlite3_column_text(statement, column));
  return text != nullptr ? text : "";
}

std::vector<std::string> split_at_spaces(const std::string& text) {
  std::vector<std::string> words;
  std::size_t begin = 0;
  while ((begin = text.find_first_not_of(' ', begin)) != std::string::npos) {
    const auto end = text.find(' ', begin);
    words.push_back(text.substr(begin, end - begin));
    begin = end == std::string::npos ? text.size() : end;
  }
  return words;
}

}  // namespace

/// A prepared statement; resets itself after use so that no read transaction stays open.
struct NixDatabase::Statement {
  Statement(sqlite3* handle, const char* sql) {
    if (sqlite3_prepare_v3(handle, sql, -1, SQLITE_PREPARE_PERSISTENT, &raw, nullptr) != SQLITE_OK)
      raw = nullptr;
  }
  Statement(const Statement&) = delete;
  Statement& operator=(const Statement&) = delete;
  ~Statement() { sqlite3_finalize(raw); }
  sqlite3_stmt* raw = nullptr;
};

namespace {

struct ResetAtEnd {
  sqlite3_stmt* statement;
  explicit ResetAtEnd(sqlite3_stmt* s) : statement(s) {}
  ResetAtEnd(const ResetAtEnd&) = delete;
  ResetAtEnd& operator=(const ResetAtEnd&) = delete;
  ~ResetAtEnd() {
    sqlite3_reset(statement);
    sqlite3_clear_bindings(statement);
  }
};

}  // namespace

NixDatabase::NixDatabase(StoreLayout layout, sqlite3* handle)
    : layout_(std::move(layout)), handle_(handle) {}

NixDatabase::~NixDatabase() {
  info_.reset();
  references_.reset();
  closure_.reset();
  sqlite3_close(handle_);
}

tl::expected<std::unique_ptr<NixDatabase>, std::string> NixDatabase::open(
    const StoreLayout& layout) {
  sqlite3* handle = nullptr;
  const auto uri = fmt::format("file:{}?mode=ro", layout.database());
  const int result = sqlite3_open_v2(
      uri.c_str(), &handle, SQLITE_OPEN_READONLY | SQLITE_OPEN_URI | SQLITE_OPEN_NOMUTEX, nullptr);
  if (result != SQLITE_OK) {
    sqlite3_close(handle);
    return tl::unexpected(
        fmt::format("cannot open {}: {}", layout.database(), sqlite3_errstr(result)));
  }
  std::unique_ptr<NixDatabase> database(new NixDatabase(layout, handle));
  sqlite3_busy_timeout(handle, busy_milliseconds);
  database->info_ =
      std::make_unique<Statement>(handle,
                                  "select id, hash, deriver, narSize, sigs, ca, registrationTime, "
                                  "ultimate from ValidPaths where path = ?1");
  database->references_ = std::make_unique<Statement>(
      handle,
      "select v.path from Refs r join ValidPaths v on r.reference = v.id where r.referrer = ?1");
  // Cross joins: from what is found to what it refers to, whatever the planner thinks of a database
  // that was never analysed.
  database->closure_ = std::make_unique<Statement>(
      handle,
      "with recursive closure(id) as ("
      " select v.id from json_each(?1) j cross join ValidPaths v on v.path = j.value"
      " union select r.reference from closure c cross join Refs r on r.referrer = c.id)"
      "select v.path from closure c cross join ValidPaths v on v.id = c.id");
  if (database->info_->raw == nullptr || database->references_->raw == nullptr ||
      database->closure_->raw == nullptr)
    return tl::unexpected(
        fmt::format("{} cannot be read: {}", layout.database(), sqlite3_errmsg(handle)));
  return database;
}

tl::expected<std::set<StorePath>, std::string> NixDatabase::references_of(std::int64_t id) {
  const ResetAtEnd reset(references_->raw);
  sqlite3_bind_int64(references_->raw, 1, id);
  return paths_of(*references_);
}

tl::expected<std::set<StorePath>, std::string> NixDatabase::paths_of(Statement& statement) {
  std::set<StorePath> paths;
  int step = 0;
  while ((step = sqlite3_step(statement.raw)) == SQLITE_ROW) {
    auto path = layout_.parse(column_text(statement.raw, 0));
    if (!path) return tl::unexpected(path.error());
    paths.insert(*std::move(path));
  }
  if (step != SQLITE_DONE) return tl::unexpected(std::string(sqlite3_errmsg(handle_)));
  return paths;
}

tl::expected<std::optional<std::set<StorePath>>, std::string> NixDatabase::closure(
    const std::set<StorePath>& paths) {
  nlohmann::json printed = nlohmann::json::array();
  for (const auto& path : paths) printed.push_back(layout_.print(path));
  const auto text = printed.dump();
  const std::lock_guard lock(mutex_);
  const ResetAtEnd reset(closure_->raw);
  sqlite3_bind_text(closure_->raw, 1, text.c_str(), -1, SQLITE_TRANSIENT);
  auto found = paths_of(*closure_);
  if (!found) return tl::unexpected(found.error());
  const bool all = std::includes(found->begin(), found->end(), paths.begin(), paths.end());
  return all ? std::optional(*std::move(found)) : std::nullopt;
}

tl::expected<std::optional<wire::PathInfo>, std::string> NixDatabase::path_info(
    const StorePath& path) {
  const std::lock_guard lock(mutex_);
  const ResetAtEnd reset(info_->raw);
  const auto printed = layout_.print(path);
  sqlite3_bind_text(info_->raw, 1, printed.c_str(), -1, SQLITE_TRANSIENT);
  const int step = sqlite3_step(info_->raw);
  if (step == SQLITE_DONE) return std::nullopt;
  if (step != SQLITE_ROW) return tl::unexpected(std::string(sqlite3_errmsg(handle_)));

  wire::PathInfo info;
  const auto id = sqlite3_column_int64(info_->raw, 0);
  const auto hash = Hash::parse(column_text(info_->raw, 1));
  if (!hash) return tl::unexpected(hash.error());
  info.nar_hash = hash->base16();
  if (auto deriver = layout_.parse(column_text(info_->raw, 2))) info.deriver = *std::move(deriver);
  info.nar_size = static_cast<std::uint64_t>(sqlite3_column_int64(info_->raw, 3));
  info.signatures = split_at_spaces(column_text(info_->raw, 4));
  info.content_address = column_text(info_->raw, 5);
  info.registration_time = static_cast<std::uint64_t>(sqlite3_column_int64(info_->raw, 6));
  info.ultimate = sqlite3_column_int64(info_->raw, 7) != 0;

  auto references = references_of(id);
  if (!references) return tl::unexpected(references.error());
  info.references = *std::move(references);
  return info;
}

}  // namespace airlock
