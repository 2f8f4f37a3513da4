#include "daemon/settle/nix_database.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <fstream>
#include <map>
#include <thread>

namespace airlock {

namespace {

constexpr int busy_milliseconds = 60'000;
constexpr std::chrono::seconds lock_patience{10};
constexpr std::string_view known_schema = "10";

/// The columns as Nix 2.0 and all later versions make them. One that is new might mean something
/// that an amended row gets wrong.
const std::map<std::string, std::set<std::string>>& known_columns() {
  static const std::map<std::string, std::set<std::string>> columns{
      {"ValidPaths",
       {"id", "path", "hash", "registrationTime", "deriver", "narSize", "ultimate", "sigs", "ca"}},
      {"Refs", {"referrer", "reference"}},
      {"DerivationOutputs", {"drv", "id", "path"}},
  };
  return columns;
}

std::runtime_error unknown_schema(const StoreLayout& layout, const std::string& what) {
  return std::runtime_error(
      fmt::format("{} {}, and this airlock only knows schema {}: nothing was changed; install an "
                  "airlock that knows this Nix",
                  layout.database(), what, known_schema));
}

/// Nix takes the same lock exclusively before it changes the schema.
Fd lock_schema(const StoreLayout& layout) {
  const std::string file = layout.state_dir + "/db/big-lock";
  Fd lock{::open(file.c_str(), O_RDONLY | O_CLOEXEC)};
  if (!lock)
    throw std::runtime_error(fmt::format("cannot open {}: {}", file, std::strerror(errno)));
  const auto end = std::chrono::steady_clock::now() + lock_patience;
  while (::flock(lock.get(), LOCK_SH | LOCK_NB) != 0) {
    if (std::chrono::steady_clock::now() > end)
      throw std::runtime_error(
          fmt::format("{} is locked: Nix seems to be changing its database's schema", file));
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
  }
  return lock;
}

SQLite::Database open_checked(const StoreLayout& layout) {
  std::string schema;
  std::ifstream(layout.state_dir + "/db/schema") >> schema;
  if (schema != known_schema) throw unknown_schema(layout, fmt::format("has schema '{}'", schema));
  SQLite::Database database(layout.database(), SQLite::OPEN_READWRITE, busy_milliseconds);
  for (const auto& [table, expected] : known_columns()) {
    SQLite::Statement columns(database, "SELECT name FROM pragma_table_info(?)");
    columns.bind(1, table);
    std::set<std::string> found;
    while (columns.executeStep()) found.insert(columns.getColumn(0).getString());
    if (found != expected) throw unknown_schema(layout, "has other columns in table " + table);
  }
  database.exec("PRAGMA foreign_keys = ON");
  // The debt is removed after the commit, so the commit must be on the disk first.
  database.exec("PRAGMA synchronous = FULL");
  return database;
}

/// A statement that is kept must not keep its transaction open.
class ResetAtEnd {
 public:
  explicit ResetAtEnd(SQLite::Statement& statement) : statement_(statement) {}
  ResetAtEnd(const ResetAtEnd&) = delete;
  ResetAtEnd& operator=(const ResetAtEnd&) = delete;
  ~ResetAtEnd() { statement_.tryReset(); }

 private:
  SQLite::Statement& statement_;
};

}  // namespace

WritableNixDatabase::WritableNixDatabase(const StoreLayout& layout)
    : layout_(layout),
      schema_lock_(lock_schema(layout)),
      database_(open_checked(layout)),
      find_(database_, "SELECT id, hash, narSize, ca FROM ValidPaths WHERE path = ?"),
      add_reference_(database_, "INSERT OR IGNORE INTO Refs (referrer, reference) VALUES (?, ?)") {}

SQLite::Transaction WritableNixDatabase::begin() {
  return SQLite::Transaction(database_, SQLite::TransactionBehavior::IMMEDIATE);
}

std::optional<WritableNixDatabase::Path> WritableNixDatabase::find(const StorePath& path) {
  const ResetAtEnd reset(find_);
  find_.bind(1, layout_.print(path));
  if (!find_.executeStep()) return std::nullopt;
  return Path{.id = find_.getColumn(0).getInt64(),
              .hash = find_.getColumn(1).getString(),
              .size = static_cast<std::uint64_t>(find_.getColumn(2).getInt64()),
              .content_addressed = !find_.getColumn(3).getString().empty()};
}

std::vector<std::pair<std::string, StorePath>> WritableNixDatabase::outputs_of(
    const StorePath& drv) {
  SQLite::Statement query(database_,
                          "SELECT o.id, o.path FROM DerivationOutputs o "
                          "JOIN ValidPaths v ON o.drv = v.id WHERE v.path = ?");
  query.bind(1, layout_.print(drv));
  std::vector<std::pair<std::string, StorePath>> outputs;
  while (query.executeStep()) {
    auto path = layout_.parse(query.getColumn(1).getString());
    if (!path) throw std::runtime_error(layout_.database() + ": " + path.error());
    outputs.emplace_back(query.getColumn(0).getString(), *std::move(path));
  }
  return outputs;
}

std::set<StorePath> WritableNixDatabase::paths(const char* query, Id path) {
  SQLite::Statement rows(database_, query);
  rows.bind(1, path);
  std::set<StorePath> result;
  while (rows.executeStep()) {
    auto found = layout_.parse(rows.getColumn(0).getString());
    if (!found) throw std::runtime_error(layout_.database() + ": " + found.error());
    result.insert(*std::move(found));
  }
  return result;
}

std::set<StorePath> WritableNixDatabase::references_of(Id path) {
  return paths(
      "SELECT v.path FROM Refs r JOIN ValidPaths v ON r.reference = v.id "
      "WHERE r.referrer = ?",
      path);
}

std::set<StorePath> WritableNixDatabase::closure_of(Id path) {
  return paths(
      "WITH RECURSIVE closure(id) AS (VALUES (?1) UNION "
      "SELECT r.reference FROM Refs r JOIN closure c ON r.referrer = c.id) "
      "SELECT v.path FROM closure c JOIN ValidPaths v ON v.id = c.id",
      path);
}

std::set<WritableNixDatabase::Id> WritableNixDatabase::referrers_of(Id path) {
  SQLite::Statement query(database_, "SELECT referrer FROM Refs WHERE reference = ?");
  query.bind(1, path);
  std::set<Id> referrers;
  while (query.executeStep()) referrers.insert(query.getColumn(0).getInt64());
  return referrers;
}

bool WritableNixDatabase::add_reference(Id referrer, Id reference) {
  const ResetAtEnd reset(add_reference_);
  add_reference_.bind(1, referrer);
  add_reference_.bind(2, reference);
  return add_reference_.exec() > 0;
}

void WritableNixDatabase::set_signatures(Id path, const std::vector<std::string>& signatures) {
  SQLite::Statement update(database_, "UPDATE ValidPaths SET sigs = ? WHERE id = ?");
  // Nix writes null where there are none.
  if (!signatures.empty()) update.bind(1, fmt::format("{}", fmt::join(signatures, " ")));
  update.bind(2, path);
  update.exec();
}

void WritableNixDatabase::remove_references(Id path) {
  SQLite::Statement remove(database_, "DELETE FROM Refs WHERE referrer = ?");
  remove.bind(1, path);
  remove.exec();
}

void WritableNixDatabase::invalidate(Id path) {
  SQLite::Statement remove(database_, "DELETE FROM ValidPaths WHERE id = ?");
  remove.bind(1, path);
  remove.exec();
}

}  // namespace airlock
