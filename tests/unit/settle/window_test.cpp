#include <fmt/format.h>
#include <sys/wait.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <csignal>
#include <filesystem>
#include <fstream>

#include "daemon/settle/recent_folder.hpp"
#include "tests/unit/settle/settling.hpp"

namespace airlock {
namespace {

using test::hidden;
using test::PrivateStore;
using test::settle;
using test::settlement;
namespace fs = std::filesystem;

/// A process that has Nix's database open, as a worker of nix-daemon has.
class Reader {
 public:
  explicit Reader(const PrivateStore& store, uid_t user = 0) {
    std::array<int, 2> ready{};
    REQUIRE(::pipe(ready.data()) == 0);
    pid_ = ::fork();
    if (pid_ == 0) {
      const std::ifstream database(store.layout().database());
      if (user != 0 && ::setuid(user) != 0) ::_exit(1);
      (void)!::write(ready[1], "", 1);
      ::pause();
      ::_exit(0);
    }
    char byte = 0;
    REQUIRE(::read(ready[0], &byte, 1) == 1);
    ::close(ready[0]);
    ::close(ready[1]);
  }
  Reader(const Reader&) = delete;
  Reader& operator=(const Reader&) = delete;
  ~Reader() { end(); }
  void end() {
    if (pid_ <= 0) return;
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
    pid_ = 0;
  }

 private:
  pid_t pid_ = 0;
};

/// An outer derivation whose output names `granted`, in a file of its own so that others can be
/// built from it.
struct Outer {
  explicit Outer(const PrivateStore& store)
      : granted(store.add("granted", "content")),
        derivation(store.build(fmt::format(R"({{ name = "big"; script = "echo {} > $out"; }})",
                                           hidden(store, granted)))),
        out(store.output(derivation)) {}

  /// What is built from it by its derivation, and writes what it reads.
  [[nodiscard]] StorePath build_from(const PrivateStore& store, const std::string& name,
                                     const std::string& more = "") const {
    return store.build(fmt::format(
        R"({{ name = "{}"; big = builtins.storePath "{}"; script = "read x < $big; echo $x > $out"; {} }})",
        name, store.layout().print(out), more));
  }

  StorePath granted;
  StorePath derivation;
  StorePath out;
};

bool is_recorded(const PrivateStore& store, const Outer& outer) {
  return fs::exists(fs::path(store.layout().recent()) / outer.derivation.base());
}

TEST_CASE("what was built from incomplete outputs is amended with them") {
  NEED_PRIVATE_STORE();
  const PrivateStore store;
  const Outer outer(store);
  const auto direct = store.output(outer.build_from(store, "direct"));
  const auto indirect = store.output(store.build(fmt::format(
      R"({{ name = "indirect"; direct = builtins.storePath "{}"; script = "read x < $direct; echo $x > $out"; }})",
      store.layout().print(direct))));
  const auto unrelated = store.output(store.build(fmt::format(
      R"({{ name = "unrelated"; script = "echo {} > $out"; }})", hidden(store, outer.granted))));
  REQUIRE(store.references(direct).empty());
  store.owe(outer.derivation, {outer.granted});
  const auto settled = settle(store, outer.derivation);
  REQUIRE(settled.has_value());
  CHECK_THAT(settled->sentence,
             Catch::Contains("added 1 reference to 'out'; added 1 reference to " +
                             store.layout().print(direct)));
  CHECK(store.references(outer.out) == std::set{outer.granted});
  CHECK(store.references(direct) == std::set{outer.granted});
  CHECK(store.references(indirect) == std::set{outer.granted});
  CHECK(store.references(unrelated).empty());
  CHECK_FALSE(store.owes(outer.derivation));
  CHECK_FALSE(fs::exists(store.layout().recent()));
  CHECK(store.verifies());
}

TEST_CASE("a path whose derivation is gone may have been built from incomplete outputs") {
  NEED_PRIVATE_STORE();
  const PrivateStore store;
  const Outer outer(store);
  const auto derivation = outer.build_from(store, "direct");
  const auto direct = store.output(derivation);
  store.run("nix-store --option keep-derivations false --delete " +
            store.layout().print(derivation));
  store.owe(outer.derivation, {outer.granted});
  REQUIRE(settle(store, outer.derivation).has_value());
  CHECK(store.references(direct) == std::set{outer.granted});
}

TEST_CASE("rules of what was built from incomplete outputs are reported, and it stays") {
  NEED_PRIVATE_STORE();
  const PrivateStore store;
  const Outer outer(store);
  const auto strict = store.output(outer.build_from(store, "strict", "allowedReferences = [ ];"));
  store.owe(outer.derivation, {outer.granted});
  const auto settled = settle(store, outer.derivation);
  REQUIRE(settled.has_value());
  CHECK(settled->violation.empty());
  REQUIRE(settled->breaches.size() == 1);
  CHECK_THAT(settled->breaches[0], Catch::Contains(store.layout().print(strict)) &&
                                       Catch::Contains("allowedReferences forbids"));
  CHECK(store.references(strict) == std::set{outer.granted});
}

TEST_CASE("a record is kept while something runs that may have read the old references") {
  NEED_PRIVATE_STORE();
  const PrivateStore store;
  const Outer outer(store);
  Reader reader(store);
  store.owe(outer.derivation, {outer.granted});
  REQUIRE(settle(store, outer.derivation).has_value());
  CHECK_FALSE(store.owes(outer.derivation));
  REQUIRE(is_recorded(store, outer));
  CHECK(list_recent(store.layout()) == std::vector{outer.derivation});

  auto reviewed = settlement(store).review(outer.derivation);
  REQUIRE(reviewed.has_value());
  CHECK_FALSE(reviewed->over);
  store.run("nix-collect-garbage");
  CHECK(store.is_valid(outer.out));
  CHECK(store.is_valid(outer.granted));

  // Nix's own scan finds the reference by now: what the reader would register has not got it.
  const auto late = store.output(outer.build_from(store, "late"));
  store.run(
      fmt::format("sqlite3 {} \"delete from Refs where referrer = (select id from ValidPaths "
                  "where path = '{}')\"",
                  store.layout().database(), store.layout().print(late)));
  reader.end();
  reviewed = settlement(store).review(outer.derivation);
  REQUIRE(reviewed.has_value());
  CHECK_THAT(reviewed->sentence,
             Catch::Contains("added 1 reference to " + store.layout().print(late)));
  CHECK(reviewed->over);
  CHECK_FALSE(fs::exists(store.layout().recent()));
  CHECK(store.references(late) == std::set{outer.granted});
  CHECK(settlement(store).review(outer.derivation)->over);
}

TEST_CASE("no record is kept for processes of the airlock user, who can register nothing") {
  NEED_PRIVATE_STORE();
  const PrivateStore store;
  const Outer outer(store);
  const Reader reader(store, PrivateStore::account().uid);
  store.owe(outer.derivation, {outer.granted});
  REQUIRE(settle(store, outer.derivation).has_value());
  CHECK_FALSE(is_recorded(store, outer));
}

TEST_CASE("a crash at any step loses nothing of what was built meanwhile") {
  NEED_PRIVATE_STORE();
  const auto step = GENERATE(Step::inspected, Step::before_commit, Step::committed, Step::recorded,
                             Step::caught_up, Step::removed);
  CAPTURE(static_cast<int>(step));
  const PrivateStore store;
  const Outer outer(store);
  const auto direct = store.output(outer.build_from(store, "direct"));
  store.owe(outer.derivation, {outer.granted});
  Reader reader(store);
  const pid_t child = ::fork();
  if (child == 0) {
    Settlement doomed(store.layout(), PrivateStore::account(), {});
    doomed.watch([step](Step reached) {
      if (reached == step) ::raise(SIGKILL);
    });
    (void)doomed.settle(outer.derivation, Occasion::clean_up);
    ::_exit(0);
  }
  int status = 0;
  REQUIRE(::waitpid(child, &status, 0) == child);
  REQUIRE(WIFSIGNALED(status));
  store.run(
      fmt::format("mkdir {0}/gcroots/test; ln -s {1} {0}/gcroots/test/direct; nix-collect-garbage",
                  store.layout().state_dir, store.layout().print(direct)));
  REQUIRE(store.is_valid(outer.granted));

  // The reader is over before anybody looks: what it has built is registered, nothing else.
  reader.end();
  REQUIRE(settlement(store).settle(outer.derivation, Occasion::after_build).has_value());
  REQUIRE(settlement(store).review(outer.derivation).has_value());
  CHECK(store.references(outer.out) == std::set{outer.granted});
  CHECK(store.references(direct) == std::set{outer.granted});
  CHECK_FALSE(store.owes(outer.derivation));
  CHECK_FALSE(fs::exists(store.layout().recent()));
  CHECK(store.verifies());
}

TEST_CASE("an unfinished record looks for its readers again") {
  NEED_PRIVATE_STORE();
  const PrivateStore store;
  const Outer outer(store);
  Reader first(store);
  store.owe(outer.derivation, {outer.granted});
  REQUIRE(settle(store, outer.derivation).has_value());
  const Reader second(store);
  first.end();
  const std::string state = store.layout().recent() + "/" + outer.derivation.base() + "/~state";
  store.run("sed -i s/^mark/unfinished/ " + state);
  CHECK_FALSE(settlement(store).review(outer.derivation)->over);
  // The mark is back, and so is the second reader.
  CHECK_FALSE(settlement(store).review(outer.derivation)->over);
}

TEST_CASE("a half-made record is not used, and goes with its debt") {
  NEED_PRIVATE_STORE();
  const PrivateStore store;
  const Outer outer(store);
  const fs::path record = fs::path(store.layout().recent()) / outer.derivation.base();
  fs::create_directories(record);
  store.run(
      fmt::format("chown -R {0}:{0} {1}", PrivateStore::account().uid, store.layout().debts()));
  store.owe(outer.derivation, {outer.granted});
  CHECK_FALSE(settlement(store).review(outer.derivation)->over);
  CHECK(fs::exists(record));
  REQUIRE(settle(store, outer.derivation).has_value());
  CHECK(settlement(store).review(outer.derivation)->over);
  CHECK_FALSE(fs::exists(store.layout().recent()));
}

TEST_CASE("a record's state is read back, and nothing else is") {
  const auto now = Readers::parse("boot pid:[1] 12@34 56@78").value();
  CHECK(now.print() == "boot pid:[1] 12@34 56@78");
  const RecentAmendment amendment{.mark = 7, .unfinished = true, .readers = now, .paths = {}};
  const auto again = RecentAmendment::parse(amendment.print()).value();
  CHECK(again.mark == 7);
  CHECK(again.unfinished);
  CHECK(again.readers.print() == now.print());
  const auto text = GENERATE(values<std::string>({
      "",
      "mark 7",
      "mark 7\n",
      "mark x\nreaders b n\n",
      "mark 7\nreaders b\n",
      "mark 7\nreaders b n 12\n",
      "mark 7\nreaders b n 12@x\n",
      "mark 7\nreaders b n 1@2 more\n",
      "seen 7\nreaders b n\n",
      "mark 7\nreaders b n",
  }));
  CAPTURE(text);
  CHECK_FALSE(RecentAmendment::parse(text).has_value());
}

}  // namespace
}  // namespace airlock
