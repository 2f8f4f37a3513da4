#include <SQLiteCpp/SQLiteCpp.h>
#include <unistd.h>

#include <array>
#include <catch2/catch.hpp>
#include <cstdlib>
#include <string>

#include "daemon/ledger/database.hpp"
#include "daemon/ledger/ledger.hpp"

namespace airlock {
namespace {

constexpr const char* newest = "CREATE TABLE t (a, b, c)";
constexpr std::array<Migration, 2> steps{
    Migration{1, "ALTER TABLE t ADD COLUMN b"},
    Migration{2, "ALTER TABLE t ADD COLUMN c; UPDATE t SET c = a"},
};

int version_of(SQLite::Database& database) {
  return database.execAndGet("PRAGMA user_version").getInt();
}

TEST_CASE("an empty database gets the newest schema at once") {
  SQLite::Database database(":memory:", SQLite::OPEN_READWRITE);
  prepare_schema(database, newest, 3, steps);
  CHECK(version_of(database) == 3);
  CHECK(database.execAndGet("SELECT count(*) FROM pragma_table_info('t')").getInt() == 3);
}

TEST_CASE("an old database is carried along step by step with its rows") {
  const int from = GENERATE(1, 2, 3);
  SQLite::Database database(":memory:", SQLite::OPEN_READWRITE);
  database.exec("CREATE TABLE t (a)");
  database.exec("INSERT INTO t (a) VALUES (42)");
  if (from >= 2) database.exec(steps[0].sql);
  if (from >= 3) database.exec(steps[1].sql);
  database.exec("PRAGMA user_version = " + std::to_string(from));
  prepare_schema(database, newest, 3, steps);
  CHECK(version_of(database) == 3);
  CHECK(database.execAndGet("SELECT c FROM t").getInt() == 42);
}

TEST_CASE("a step that fails leaves the database as it was") {
  constexpr std::array<Migration, 1> broken{Migration{1, "ALTER TABLE t ADD COLUMN b; NONSENSE"}};
  SQLite::Database database(":memory:", SQLite::OPEN_READWRITE);
  database.exec("CREATE TABLE t (a); PRAGMA user_version = 1");
  CHECK_THROWS_AS(prepare_schema(database, newest, 2, broken), SQLite::Exception);
  CHECK(version_of(database) == 1);
  CHECK(database.execAndGet("SELECT count(*) FROM pragma_table_info('t')").getInt() == 1);
}

TEST_CASE("a ledger of a newer airlock is refused and not touched") {
  std::string name = "/tmp/airlock-newer-XXXXXX";
  ::close(::mkstemp(name.data()));
  {
    SQLite::Database database(name, SQLite::OPEN_READWRITE);
    database.exec("CREATE TABLE future (a); PRAGMA user_version = 99");
  }
  const auto ledger = open_ledger(name);
  const auto sessions = read_sessions(name);
  for (const char* suffix : {"", "-wal", "-shm"}) ::unlink((name + suffix).c_str());
  REQUIRE_FALSE(ledger.has_value());
  CHECK_THAT(ledger.error(), Catch::Contains("schema version 99 and this airlock knows 1"));
  REQUIRE_FALSE(sessions.has_value());
  CHECK_THAT(sessions.error(), Catch::Contains("schema version 99"));
}

}  // namespace
}  // namespace airlock
