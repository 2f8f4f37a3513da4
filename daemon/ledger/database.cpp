#include "daemon/ledger/database.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sqlite3.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "fusefs/boundary/fd.hpp"
#include "schema.hpp"

namespace airlock {

namespace {

constexpr int schema_version = 1;
constexpr std::span<const Migration> migrations{};  // none yet: 1 is the first
constexpr int busy_milliseconds = 5000;

int version_of(SQLite::Database& database) {
  return database.execAndGet("PRAGMA user_version").getInt();
}

void step_to(SQLite::Database& database, int version, const char* sql) {
  SQLite::Transaction transaction(database, SQLite::TransactionBehavior::IMMEDIATE);
  database.exec(sql);
  database.exec(fmt::format("PRAGMA user_version = {}", version));
  transaction.commit();
}

/// SQLite would make the file with the umask's mode; -wal and -shm take theirs from it.
void make_file(const std::string& file) {
  const Fd opened{::open(file.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0640)};
  if (opened && ::fchmod(opened.get(), 0640) == 0) return;
  if (errno == EEXIST) return;
  throw SQLite::Exception(fmt::format("cannot make {}: {}", file, std::strerror(errno)));
}

}  // namespace

void prepare_schema(SQLite::Database& database, const char* schema, int version,
                    std::span<const Migration> steps) {
  if (version_of(database) == 0) step_to(database, version, schema);
  for (const Migration& step : steps)
    if (version_of(database) == step.from) step_to(database, step.from + 1, step.sql);
  const int reached = version_of(database);
  if (reached != version)
    throw SQLite::Exception(
        fmt::format("it has schema version {} and this airlock knows {}: install the airlock that "
                    "wrote it, or move the file away",
                    reached, version));
}

SQLite::Database open_to_write(const std::string& file) {
  make_file(file);
  SQLite::Database database(file, SQLite::OPEN_READWRITE, busy_milliseconds);
  // In WAL mode a commit is a write without fsync: what was committed survives a killed airlockd;
  // only a loss of power can take the last transactions, and leaves the file whole.
  database.exec("PRAGMA journal_mode = WAL");
  database.exec("PRAGMA synchronous = NORMAL");
  database.exec("PRAGMA foreign_keys = ON");
  // Readers who may not write in the folder need -wal and -shm to be there.
  int persist = 1;
  sqlite3_file_control(database.getHandle(), nullptr, SQLITE_FCNTL_PERSIST_WAL, &persist);
  prepare_schema(database, ledger_schema, schema_version, migrations);
  return database;
}

SQLite::Database open_to_read(const std::string& file) {
  if (::access(file.c_str(), R_OK) != 0)
    throw SQLite::Exception(
        errno == ENOENT ? std::string("there is none: airlockd makes it at its first start")
                        : fmt::format("{}: root and its group may read it", std::strerror(errno)));
  SQLite::Database database(file, SQLite::OPEN_READONLY, busy_milliseconds);
  const int version = version_of(database);
  if (version != schema_version)
    throw SQLite::Exception(
        fmt::format("it has schema version {} and this airlock reads {}: start airlockd once to "
                    "carry it along, or use the airlock that wrote it",
                    version, schema_version));
  return database;
}

}  // namespace airlock
