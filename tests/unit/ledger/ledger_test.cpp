#include "daemon/ledger/ledger.hpp"

#include <SQLiteCpp/SQLiteCpp.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <catch2/catch.hpp>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <thread>
#include <vector>

#include "daemon/ledger/database.hpp"

namespace airlock {
namespace {

/// A ledger file in a folder of its own that is removed at the end.
class Scratch {
 public:
  Scratch() {
    std::string name = "/tmp/airlock-ledger-XXXXXX";
    folder_ = ::mkdtemp(name.data());
  }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  ~Scratch() { std::filesystem::remove_all(folder_); }
  [[nodiscard]] std::string file() const { return folder_ / "ledger.sqlite"; }

 private:
  std::filesystem::path folder_;
};

StorePath path(const std::string& name) {
  return StorePath::parse("0123456789abcdfghijklmnpqrsvwxyz-" + name).value();
}

LedgerOperation operation(LedgerSession session, const std::string& subject) {
  return {.session = session,
          .connection = 2,
          .operation = "AddToStore",
          .subject = subject,
          .verdict = "allow",
          .rule = "path-visible",
          .reason = "",
          .succeeded = true,
          .duration = std::chrono::microseconds(1234)};
}

TEST_CASE("what was written is read back") {
  const Scratch scratch;
  {
    auto ledger = open_ledger(scratch.file()).value();
    const auto outer = ledger->open_session(path("outer.drv"), {});
    const auto inner = ledger->open_session(path("inner.drv"), {outer});
    const auto other = ledger->open_session(path("other.drv"), {});
    ledger->add_parent(inner, other);
    ledger->add_parent(inner, other);
    ledger->record(operation(outer, "hello"));
    auto denied = operation(outer, "secret");
    denied.verdict = "deny";
    denied.reason = "not visible";
    denied.succeeded = false;
    ledger->record(denied);
    ledger->record_grant(outer, path("src"), "added");
    ledger->record_grant(outer, path("src"), "built");
    ledger->record_grant(outer, path("result"), "built");
    ledger->set_state(inner, SessionState::ended, "");
    ledger->set_state(outer, SessionState::settled, "two references");
    ledger->set_state(outer, SessionState::closed, "");
  }
  const auto sessions = read_sessions(scratch.file()).value();
  REQUIRE(sessions.size() == 3);
  CHECK(sessions[0].derivation == path("outer.drv"));
  CHECK(sessions[0].state == SessionState::closed);
  CHECK(sessions[0].note == "two references");
  CHECK(sessions[0].granted == 2);
  CHECK(sessions[0].opened > 1'600'000'000);
  CHECK(sessions[1].parents == std::set{sessions[0].id, sessions[2].id});
  CHECK(sessions[1].state == SessionState::ended);
  CHECK(sessions[2].state == SessionState::open);

  const auto operations = read_operations(scratch.file(), sessions[0].id).value();
  REQUIRE(operations.size() == 2);
  CHECK(operations[0].subject == "hello");
  CHECK(operations[0].connection == 2);
  CHECK(operations[0].duration == std::chrono::microseconds(1234));
  CHECK(operations[0].succeeded);
  CHECK(operations[1].verdict == "deny");
  CHECK(operations[1].reason == "not visible");
  CHECK_FALSE(operations[1].succeeded);
  CHECK(read_operations(scratch.file(), sessions[1].id).value().empty());
}

TEST_CASE("the file belongs to its maker and its group may read it") {
  const Scratch scratch;
  const auto mask = ::umask(0077);
  { const auto ledger = open_ledger(scratch.file()).value(); }
  ::umask(mask);
  struct stat status {};
  REQUIRE(::stat(scratch.file().c_str(), &status) == 0);
  CHECK((status.st_mode & 07777) == 0640);
  CHECK(status.st_uid == ::geteuid());
}

TEST_CASE("text of a sandbox is cut and made printable") {
  const Scratch scratch;
  {
    auto ledger = open_ledger(scratch.file()).value();
    const auto session = ledger->open_session(path("outer.drv"), {});
    auto coloured = operation(session, "a\x1b[2Jb\n\xff");
    coloured.reason = "cannot build '\x1b[35;1m/nix/store/x\x1b[0m':\n\x1b]8;;file:///x\x07why";
    ledger->record(coloured);
    ledger->set_state(session, SessionState::open, "condemned: \x1b[31;1merror:\x1b[0m it failed");
    ledger->record(operation(session, std::string(100'000, 'x')));
  }
  const auto operations = read_operations(scratch.file(), 1).value();
  REQUIRE(operations.size() == 2);
  CHECK(operations[0].subject == "ab ?");
  CHECK(operations[0].reason == "cannot build '/nix/store/x': why");
  CHECK(read_sessions(scratch.file()).value().front().note == "condemned: error: it failed");
  CHECK(operations[1].subject.size() == 4096);
  CHECK_THAT(operations[1].subject, Catch::EndsWith("x..."));
}

TEST_CASE("what ended long ago is dropped when the ledger is opened, with its rows") {
  const Scratch scratch;
  {
    auto ledger = open_ledger(scratch.file()).value();
    for (const auto* name : {"old.drv", "recent.drv"}) {
      const auto session = ledger->open_session(path(name), {});
      ledger->record(operation(session, "subject"));
      ledger->set_state(session, SessionState::closed, {});
    }
  }
  SQLite::Database(scratch.file(), SQLite::OPEN_READWRITE)
      .exec("UPDATE sessions SET changed = changed - 86400 * 10 - 60 WHERE id = 1");
  { const auto ledger = open_ledger(scratch.file(), 11).value(); }
  CHECK(read_sessions(scratch.file()).value().size() == 2);
  { const auto ledger = open_ledger(scratch.file(), 10).value(); }
  const auto sessions = read_sessions(scratch.file()).value();
  REQUIRE(sessions.size() == 1);
  CHECK(sessions[0].id == 2);
  CHECK(read_operations(scratch.file(), 1).value().empty());
  CHECK(read_operations(scratch.file(), 2).value().size() == 1);
}

TEST_CASE("numbers go on after a restart and what a predecessor left open is closed") {
  const Scratch scratch;
  {
    auto ledger = open_ledger(scratch.file()).value();
    CHECK(ledger->open_session(path("one.drv"), {}) == 1);
    const auto two = ledger->open_session(path("two.drv"), {});
    ledger->set_state(two, SessionState::settled, "done");
  }
  {
    SQLite::Database database(scratch.file(), SQLite::OPEN_READWRITE);
    database.exec("PRAGMA foreign_keys = ON; DELETE FROM sessions WHERE id = 2");
  }
  {
    auto ledger = open_ledger(scratch.file()).value();
    CHECK(ledger->open_session(path("three.drv"), {}) == 3);
  }
  const auto sessions = read_sessions(scratch.file()).value();
  REQUIRE(sessions.size() == 2);
  CHECK(sessions[0].state == SessionState::closed);
  CHECK(sessions[0].note == "airlockd was stopped");
  CHECK(sessions[1].state == SessionState::open);
}

TEST_CASE("many threads write at once and nothing is lost") {
  const Scratch scratch;
  constexpr int threads = 4;
  constexpr int each = 5000;
  {
    auto ledger = open_ledger(scratch.file()).value();
    std::vector<std::thread> running;
    running.reserve(threads);
    for (int thread = 0; thread < threads; ++thread)
      running.emplace_back([&ledger, thread] {
        const auto session = ledger->open_session(path(std::to_string(thread) + ".drv"), {});
        for (int i = 0; i < each; ++i) ledger->record(operation(session, std::to_string(i)));
        ledger->set_state(session, SessionState::ended, "");
      });
    for (auto& thread : running) thread.join();
  }
  for (int session = 1; session <= threads; ++session) {
    const auto operations = read_operations(scratch.file(), session).value();
    REQUIRE(operations.size() == each);
    for (int i = 0; i < each; ++i) REQUIRE(operations[i].subject == std::to_string(i));
  }
}

TEST_CASE("a reader sees committed rows while the ledger is written") {
  const Scratch scratch;
  auto ledger = open_ledger(scratch.file()).value();
  const auto session = ledger->open_session(path("outer.drv"), {});
  ledger->record(operation(session, "one"));
  ledger->set_state(session, SessionState::ended, "");
  (void)ledger->open_session(path("other.drv"), {});  // returns when all before it is committed
  CHECK(read_sessions(scratch.file()).value().size() == 2);
  CHECK(read_operations(scratch.file(), session).value().size() == 1);
}

TEST_CASE("a killed writer loses at most its last moments") {
  const Scratch scratch;
  const pid_t child = ::fork();
  if (child == 0) {
    auto ledger = open_ledger(scratch.file()).value();
    const auto session = ledger->open_session(path("outer.drv"), {});
    for (int i = 0; i < 1000; ++i) ledger->record(operation(session, std::to_string(i)));
    std::this_thread::sleep_for(std::chrono::milliseconds(500));
    ::raise(SIGKILL);
  }
  int status = 0;
  REQUIRE(::waitpid(child, &status, 0) == child);
  REQUIRE(WIFSIGNALED(status));
  CHECK(read_operations(scratch.file(), 1).value().size() == 1000);
  const auto ledger = open_ledger(scratch.file());
  REQUIRE(ledger.has_value());
  CHECK(read_sessions(scratch.file()).value()[0].state == SessionState::closed);
}

TEST_CASE("a ledger that cannot be written fails no caller") {
  const Scratch scratch;
  auto ledger = open_ledger(scratch.file()).value();
  const auto first = ledger->open_session(path("one.drv"), {});
  {
    SQLite::Database database(scratch.file(), SQLite::OPEN_READWRITE);
    database.exec("ALTER TABLE operations RENAME TO lost; ALTER TABLE sessions RENAME TO away");
  }
  ledger->record(operation(first, "one"));
  const auto second = ledger->open_session(path("two.drv"), {});
  const auto third = ledger->open_session(path("three.drv"), {});
  CHECK(second == first + 1);
  CHECK(third == second + 1);
  {
    SQLite::Database database(scratch.file(), SQLite::OPEN_READWRITE);
    database.exec("ALTER TABLE lost RENAME TO operations; ALTER TABLE away RENAME TO sessions");
  }
  const auto fourth = ledger->open_session(path("four.drv"), {});
  CHECK(fourth == third + 1);
  ledger->record(operation(second, "its session has no row"));
  ledger->record(operation(fourth, "two"));
  ledger.reset();
  CHECK(read_sessions(scratch.file()).value().size() == 2);
  CHECK(read_operations(scratch.file(), fourth).value().size() == 1);
  CHECK(read_operations(scratch.file(), second).value().empty());
}

TEST_CASE("reading a ledger that is not there is an error that names it") {
  const auto sessions = read_sessions("/nonexistent/ledger.sqlite");
  REQUIRE_FALSE(sessions.has_value());
  CHECK_THAT(sessions.error(),
             Catch::StartsWith("cannot read the ledger /nonexistent/ledger.sqlite: there is none"));
  CHECK_FALSE(open_ledger("/nonexistent/ledger.sqlite").has_value());
}

}  // namespace
}  // namespace airlock
