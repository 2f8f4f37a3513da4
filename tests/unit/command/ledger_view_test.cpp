#include "daemon/command/ledger_view.hpp"

#include <catch2/catch.hpp>
#include <cstdlib>
#include <ctime>

namespace airlock::command {
namespace {

LedgerSessionRow session(LedgerSession id, const std::string& name, std::set<LedgerSession> parents,
                         const std::string& note = "") {
  return {.id = id,
          .derivation = StorePath::parse("0123456789abcdfghijklmnpqrsvwxyz-" + name).value(),
          .parents = std::move(parents),
          .state = SessionState::settled,
          .note = note,
          .opened = 1'700'000'000,
          .granted = id};
}

LedgerExcerpt excerpt() {
  LedgerExcerpt excerpt;
  excerpt.sessions = {session(1, "outer.drv", {}, "added 1 reference"), session(2, "a.drv", {1}),
                      session(3, "b.drv", {2, 1}), session(4, "other.drv", {})};
  excerpt.operations[2] = {{.session = 2,
                            .connection = 1,
                            .operation = "QueryPathInfo",
                            .subject = "0123-secret",
                            .verdict = "deny",
                            .rule = "path-visible",
                            .reason = "not visible",
                            .succeeded = false,
                            .duration = std::chrono::microseconds(77)},
                           {.session = 2,
                            .connection = 12,
                            .operation = "BuildPaths",
                            .subject = "",
                            .verdict = "allow",
                            .rule = "build",
                            .reason = "",
                            .succeeded = true,
                            .duration = std::chrono::microseconds(1'500'000)}};
  return excerpt;
}

TEST_CASE("sessions are a tree of who asked for whom, and operations a table") {
  ::setenv("TZ", "UTC", 1);
  ::tzset();
  CHECK(
      as_text(excerpt()) ==
      R"(session  derivation                                  state    granted  opened               note
1        0123456789abcdfghijklmnpqrsvwxyz-outer.drv  settled  1        2023-11-14 22:13:20  added 1 reference
├─ 2     0123456789abcdfghijklmnpqrsvwxyz-a.drv      settled  2        2023-11-14 22:13:20
│  └─ 3  0123456789abcdfghijklmnpqrsvwxyz-b.drv      settled  3        2023-11-14 22:13:20
└─ 3     0123456789abcdfghijklmnpqrsvwxyz-b.drv      (above)
4        0123456789abcdfghijklmnpqrsvwxyz-other.drv  settled  4        2023-11-14 22:13:20

session 2: 0123456789abcdfghijklmnpqrsvwxyz-a.drv
connection  operation      verdict  rule          result  time     subject
1           QueryPathInfo  deny     path-visible  failed  77 us    0123-secret: not visible
12          BuildPaths     allow    build         ok      1500 ms
)");
}

TEST_CASE("a ledger of sessions that asked for one another is shown all the same") {
  LedgerExcerpt strange;
  strange.sessions = {session(1, "a.drv", {2}), session(2, "b.drv", {1})};
  const std::string text = as_text(strange);
  CHECK_THAT(text, Catch::Contains("1") && Catch::Contains("└─ 2") && Catch::Contains("(above)"));
}

TEST_CASE("a session whose parent is not shown stands alone") {
  LedgerExcerpt part;
  part.sessions = {session(7, "a.drv", {2})};
  CHECK_THAT(as_text(part), Catch::Contains("\n7        0123"));
}

TEST_CASE("an empty ledger says so") {
  CHECK(as_text({}) == "no sessions\n");
}

TEST_CASE("programs get JSON") {
  const std::string json = as_json(excerpt());
  CHECK_THAT(json, Catch::Contains("\"parents\": [\n        1,\n        2\n      ]") &&
                       Catch::Contains("\"microseconds\": 77") &&
                       Catch::Contains("\"state\": \"settled\""));
  CHECK(as_json({}) == "{\n  \"sessions\": []\n}\n");
}

}  // namespace
}  // namespace airlock::command
