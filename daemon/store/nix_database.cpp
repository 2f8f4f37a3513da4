#include "daemon/store/nix_database.hpp"

#include <fmt/format.h>
#include <sqlite3.h>

#include <algorithm>
#include <unordered_set>
#include <utility>
#include <vector>

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
  valid_.reset();
  referred_.reset();
  numbered_.reset();
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
  database->valid_ =
      std::make_unique<Statement>(handle, "select id from ValidPaths where path = ?1");
  database->referred_ =
      std::make_unique<Statement>(handle, "select reference from Refs where referrer = ?1");
  database->numbered_ =
      std::make_unique<Statement>(handle, "select path, narSize from ValidPaths where id = ?1");
  if (database->info_->raw == nullptr || database->references_->raw == nullptr ||
      database->valid_->raw == nullptr || database->referred_->raw == nullptr ||
      database->numbered_->raw == nullptr)
    return tl::unexpected(
        fmt::format("{} cannot be read: {}", layout.database(), sqlite3_errmsg(handle)));
  return database;
}

tl::expected<std::set<StorePath>, std::string> NixDatabase::references_of(std::int64_t id) {
  const ResetAtEnd reset(references_->raw);
  sqlite3_bind_int64(references_->raw, 1, id);
  std::set<StorePath> paths;
  int step = 0;
  while ((step = sqlite3_step(references_->raw)) == SQLITE_ROW) {
    auto path = layout_.parse(column_text(references_->raw, 0));
    if (!path) return tl::unexpected(path.error());
    paths.insert(*std::move(path));
  }
  if (step != SQLITE_DONE) return tl::unexpected(std::string(sqlite3_errmsg(handle_)));
  return paths;
}

/// One walk along the references. In a transaction, so that the locks of the database's file are
/// taken once and not for each path. It goes by generations, each in the order of the numbers: a
/// path is read once, however many refer to it, and what is close in the file is read together.
class NixDatabase::Walk {
 public:
  using Step = tl::expected<void, std::string>;

  Walk(NixDatabase& database, const Known& known) : database_(database), known_(known) {
    sqlite3_exec(database.handle_, "begin", nullptr, nullptr, nullptr);
  }
  Walk(const Walk&) = delete;
  Walk& operator=(const Walk&) = delete;
  ~Walk() { sqlite3_exec(database_.handle_, "commit", nullptr, nullptr, nullptr); }

  /// Whether `path` is valid.
  tl::expected<bool, std::string> start_at(const StorePath& path) {
    if (known_ && known_(path)) return true;
    auto* statement = database_.valid_->raw;
    const ResetAtEnd reset(statement);
    const auto printed = database_.layout_.print(path);
    sqlite3_bind_text(statement, 1, printed.c_str(), -1, SQLITE_TRANSIENT);
    const auto before = next_.size();
    if (auto taken = take_numbers(statement); !taken) return tl::unexpected(taken.error());
    return next_.size() > before;
  }

  Step follow_references() {
    while (!next_.empty()) {
      auto generation = std::exchange(next_, {});
      std::sort(generation.begin(), generation.end());
      for (const auto id : generation) {
        if (!seen_.insert(id).second) continue;
        const auto fresh = take_path(id);
        if (!fresh) return tl::unexpected(fresh.error());
        if (!*fresh) continue;
        const ResetAtEnd reset(database_.referred_->raw);
        sqlite3_bind_int64(database_.referred_->raw, 1, id);
        if (auto taken = take_numbers(database_.referred_->raw); !taken) return taken;
      }
    }
    return {};
  }

  [[nodiscard]] Sizes take() { return std::move(sizes_); }

 private:
  Step take_numbers(sqlite3_stmt* statement) {
    int step = 0;
    while ((step = sqlite3_step(statement)) == SQLITE_ROW) {
      const auto id = sqlite3_column_int64(statement, 0);
      if (!seen_.contains(id)) next_.push_back(id);
    }
    if (step != SQLITE_DONE) return failed();
    return {};
  }

  /// Whether the path of that number is not known.
  tl::expected<bool, std::string> take_path(std::int64_t id) {
    auto* statement = database_.numbered_->raw;
    const ResetAtEnd reset(statement);
    sqlite3_bind_int64(statement, 1, id);
    const int step = sqlite3_step(statement);
    if (step == SQLITE_DONE)
      return tl::unexpected(
          fmt::format("a store path refers to number {}, which is not there", id));
    if (step != SQLITE_ROW) return failed();
    auto path = database_.layout_.parse(column_text(statement, 0));
    if (!path) return tl::unexpected(path.error());
    if (known_ && known_(*path)) return false;
    sizes_.emplace(*std::move(path),
                   static_cast<std::uint64_t>(sqlite3_column_int64(statement, 1)));
    return true;
  }

  [[nodiscard]] tl::unexpected<std::string> failed() const {
    return tl::unexpected(std::string(sqlite3_errmsg(database_.handle_)));
  }

  NixDatabase& database_;
  const Known& known_;
  std::unordered_set<std::int64_t> seen_;
  std::vector<std::int64_t> next_;  ///< numbers of paths to look at, some of them twice
  Sizes sizes_;
};

tl::expected<std::optional<NixDatabase::Sizes>, std::string> NixDatabase::closure(
    const std::set<StorePath>& paths, const Known& known) {
  const std::lock_guard lock(mutex_);
  Walk walk(*this, known);
  for (const auto& path : paths) {
    const auto valid = walk.start_at(path);
    if (!valid) return tl::unexpected(valid.error());
    if (!*valid) return std::nullopt;
  }
  if (auto followed = walk.follow_references(); !followed) return tl::unexpected(followed.error());
  return walk.take();
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
