
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/wait.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <csignal>
#include <filesystem>
#include <fstream>

#include "tests/unit/settle/settling.hpp"

namespace airlock {
namespace {

using test::hidden;
using test::PrivateStore;
using test::settle;
using test::settlement;
using Outcome = Settled::Outcome;
namespace fs = std::filesystem;

TEST_CASE("references that were missing are added to all outputs at once") {
  NEED_PRIVATE_STORE();
  const PrivateStore store;
  const auto text = store.add("text", "named in a file");
  const auto target = store.add("target", "named by a symlink");
  const auto name = store.add("name", "the name of an entry");
  const auto unused = store.add("unused", "granted, never named");
  const auto derivation = store.build(fmt::format(
      R"({{ outputs = [ "out" "dev" ]; script = "mkdir $out $dev; echo {} > $out/file; echo $dev > $out/dev;
           ln -s {} $dev/link; mkdir $dev/{}"; }})",
      hidden(store, text), hidden(store, target), name.base()));
  const auto out = store.output(derivation);
  const auto dev = store.output(derivation, "dev");
  REQUIRE(store.references(out) == std::set{dev});
  REQUIRE(store.references(dev).empty());

  store.owe(derivation, {text, target, name, unused});
  const auto settled = settle(store, derivation);
  REQUIRE(settled.has_value());
  CHECK(settled->outcome == Outcome::amended);
  CHECK(settled->sentence == "added 2 references to 'dev', 1 reference to 'out'");
  CHECK(settled->violation.empty());
  CHECK(store.references(out) == std::set{dev, text});
  CHECK(store.references(dev) == std::set{target, name});
  CHECK_FALSE(store.owes(derivation));
  CHECK(store.verifies());
}

TEST_CASE("garbage collection keeps what was added as long as the output is held") {
  NEED_PRIVATE_STORE();
  const PrivateStore store;
  const auto granted = store.add("granted", "content");
  const auto derivation =
      store.build(fmt::format(R"({{ script = "echo {} > $out"; }})", hidden(store, granted)));
  const auto out = store.output(derivation);
  store.owe(derivation, {granted});
  const std::string root = store.folder() / "result";
  store.run(
      fmt::format("nix-store --realise --add-root {} {}", root, store.layout().print(derivation)));
  store.run("nix-collect-garbage");
  CHECK(store.is_valid(granted));  // held by the debt

  REQUIRE(settle(store, derivation).has_value());
  store.run("nix-collect-garbage");
  CHECK(store.is_valid(out));
  CHECK(store.is_valid(granted));  // held by the output

  fs::remove(root);
  store.run("nix-collect-garbage");
  CHECK_FALSE(store.is_valid(out));
  CHECK_FALSE(store.is_valid(granted));
}

TEST_CASE("settling twice, or with nothing owed, changes nothing") {
  NEED_PRIVATE_STORE();
  const PrivateStore store;
  const auto granted = store.add("granted", "content");
  const auto derivation =
      store.build(fmt::format(R"({{ script = "echo {} > $out"; }})", hidden(store, granted)));
  CHECK(settle(store, derivation)->outcome == Outcome::nothing_owed);
  store.owe(derivation, {granted});
  CHECK(settle(store, derivation)->outcome == Outcome::amended);
  store.owe(derivation, {granted});
  const auto again = settle(store, derivation);
  CHECK(again->outcome == Outcome::amended);
  CHECK(again->sentence == "its references were complete");
  CHECK(store.references(store.output(derivation)) == std::set{granted});
}

TEST_CASE("a debt is dropped when no output became valid") {
  NEED_PRIVATE_STORE();
  const PrivateStore store;
  const auto granted = store.add("granted", "content");
  const auto derivation = store.instantiate(R"({ script = "exit 1"; })");
  store.owe(derivation, {granted});
  const auto settled = settle(store, derivation);
  REQUIRE(settled.has_value());
  CHECK(settled->outcome == Outcome::dropped);
  CHECK_FALSE(store.owes(derivation));
}

TEST_CASE("a debt is kept while the build, or airlockd's session of it, goes on") {
  NEED_PRIVATE_STORE();
  const PrivateStore store;
  const auto granted = store.add("granted", "content");
  const auto derivation = store.instantiate(R"({ script = "echo > $out"; })");
  store.owe(derivation, {granted});
  const std::string debt = store.layout().debts() + "/" + derivation.base();
  SECTION("Nix holds the lock of an output") {
    const std::string lock = store.layout().print(store.output(derivation)) + ".lock";
    const Fd held{::open(lock.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600)};
    REQUIRE(::flock(held.get(), LOCK_EX) == 0);
    CHECK(settle(store, derivation)->outcome == Outcome::in_progress);
  }
  SECTION("airlockd holds the debt") {
    const Fd held{::open(debt.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)};
    REQUIRE(::flock(held.get(), LOCK_SH) == 0);
    CHECK(settle(store, derivation)->outcome == Outcome::in_progress);
  }
  CHECK(store.owes(derivation));
}

TEST_CASE("the hook of a build settles although Nix holds its locks, and waits for airlockd") {
  NEED_PRIVATE_STORE();
  const PrivateStore store;
  const auto granted = store.add("granted", "content");
  const auto derivation =
      store.build(fmt::format(R"({{ script = "echo {} > $out"; }})", hidden(store, granted)));
  store.owe(derivation, {granted});
  const std::string lock = store.layout().print(store.output(derivation)) + ".lock";
  const Fd held{::open(lock.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600)};
  REQUIRE(::flock(held.get(), LOCK_EX) == 0);
  const pid_t mediator = ::fork();
  if (mediator == 0) {
    const std::string debt = store.layout().debts() + "/" + derivation.base();
    const Fd shared{::open(debt.c_str(), O_RDONLY | O_DIRECTORY)};
    (void)::flock(shared.get(), LOCK_SH);
    ::usleep(300'000);
    ::_exit(0);
  }
  ::usleep(100'000);
  const auto settled = settlement(store).settle(derivation, Occasion::after_build);
  ::waitpid(mediator, nullptr, 0);
  REQUIRE(settled.has_value());
  CHECK(settled->outcome == Outcome::amended);
  CHECK(store.references(store.output(derivation)) == std::set{granted});
}

TEST_CASE("a crash at any step leaves a debt that the next time settles") {
  NEED_PRIVATE_STORE();
  const auto step = GENERATE(Step::inspected, Step::before_commit, Step::committed, Step::removed);
  const PrivateStore store;
  const auto granted = store.add("granted", "content");
  const auto derivation = store.build(fmt::format(
      R"({{ outputs = [ "out" "dev" ]; script = "echo {0} > $out; echo {0} > $dev"; }})",
      hidden(store, granted)));
  const auto out = store.output(derivation);
  const auto dev = store.output(derivation, "dev");
  store.owe(derivation, {granted});

  const pid_t child = ::fork();
  if (child == 0) {
    Settlement doomed(store.layout(), PrivateStore::account(), {});
    doomed.watch([step](Step reached) {
      if (reached == step) ::raise(SIGKILL);
    });
    (void)doomed.settle(derivation, Occasion::clean_up);
    ::_exit(0);
  }
  int status = 0;
  REQUIRE(::waitpid(child, &status, 0) == child);
  REQUIRE(WIFSIGNALED(status));

  const bool committed = step == Step::committed || step == Step::removed;
  CHECK(store.owes(derivation) == (step != Step::removed));
  CHECK(store.references(out) == store.references(dev));
  CHECK(store.references(out).size() == (committed ? 1 : 0));
  CHECK(store.verifies());
  // The dead process's child may hold the lock for another moment.
  auto settled = settlement(store).settle(derivation, Occasion::after_build);
  REQUIRE(settled.has_value());
  CHECK(store.references(out) == std::set{granted});
  CHECK(store.references(dev) == std::set{granted});
  CHECK_FALSE(store.owes(derivation));
}

TEST_CASE("signatures are made again over the complete references") {
  NEED_PRIVATE_STORE();
  const PrivateStore store;
  const std::string keys = store.folder() / "keys";
  store.run(
      fmt::format("mkdir {0}; nix key generate-secret --key-name one-1 > {0}/1; "
                  "nix key generate-secret --key-name two-1 > {0}/2; nix key generate-secret "
                  "--key-name three-1 > {0}/3; "
                  "for i in 1 2 3; do nix key convert-secret-to-public < {0}/$i > {0}/$i.pub; done",
                  keys));
  store.configure(fmt::format("secret-key-files = {0}/1\nextra-secret-key-files = {0}/2\n", keys));
  const auto granted = store.add("granted", "content");
  const auto derivation =
      store.build(fmt::format(R"({{ script = "echo {} > $out"; }})", hidden(store, granted)));
  const auto out = store.layout().print(store.output(derivation));
  const auto verify = [&](int key) {
    // Nix trusts its own secret keys' public halves, so it must not know of them here.
    return store.succeeds(
        fmt::format("nix store verify --no-contents --sigs-needed 1 --option secret-key-files '' "
                    "--option trusted-public-keys \"$(cat {}/{}.pub)\" {}",
                    keys, key, out));
  };
  REQUIRE(verify(1));
  store.owe(derivation, {granted});
  REQUIRE(settle(store, derivation).has_value());
  REQUIRE(store.references(store.output(derivation)) == std::set{granted});
  const std::string info = store.run("nix path-info --json " + out);
  CHECK_THAT(info, Catch::Contains("one-1:") && Catch::Contains("two-1:") &&
                       Catch::Contains("\"ultimate\":true"));
  CHECK(verify(1));
  CHECK(verify(2));
  CHECK_FALSE(verify(3));
}

TEST_CASE("a key that cannot be read leaves the debt and the output as they were") {
  NEED_PRIVATE_STORE();
  const PrivateStore store;
  const auto granted = store.add("granted", "content");
  const auto derivation =
      store.build(fmt::format(R"({{ script = "echo {} > $out"; }})", hidden(store, granted)));
  store.owe(derivation, {granted});
  store.configure("secret-key-files = /nonexistent/key\n");
  const auto settled = settle(store, derivation);
  REQUIRE_FALSE(settled.has_value());
  CHECK_THAT(settled.error(), Catch::Contains("/nonexistent/key"));
  CHECK(store.owes(derivation));
  CHECK(store.references(store.output(derivation)).empty());
}

TEST_CASE("a found path that is not valid any more is an error, and nothing is half done") {
  NEED_PRIVATE_STORE();
  const PrivateStore store;
  const auto granted = store.add("granted", "content");
  const auto lost = store.add("lost", "content");
  const auto derivation = store.build(fmt::format(R"({{ script = "echo {} {} > $out"; }})",
                                                  hidden(store, granted), hidden(store, lost)));
  store.run("nix-store --delete " + store.layout().print(lost));
  store.owe(derivation, {granted, lost});
  const auto settled = settle(store, derivation);
  REQUIRE_FALSE(settled.has_value());
  CHECK_THAT(settled.error(), Catch::Contains(lost.base()) && Catch::Contains("not valid"));
  CHECK(store.references(store.output(derivation)).empty());
  CHECK(store.owes(derivation));
}

TEST_CASE("a database of another schema is refused") {
  NEED_PRIVATE_STORE();
  const PrivateStore store;
  const auto granted = store.add("granted", "content");
  const auto derivation =
      store.build(fmt::format(R"({{ script = "echo {} > $out"; }})", hidden(store, granted)));
  store.owe(derivation, {granted});
  const std::string state = store.layout().state_dir;
  SECTION("by its number") {
    std::ofstream(state + "/db/schema") << "11";
    const auto settled = settle(store, derivation);
    REQUIRE_FALSE(settled.has_value());
    CHECK_THAT(settled.error(), Catch::Contains("has schema '11'") &&
                                    Catch::Contains("only knows schema 10: nothing was changed"));
    std::ofstream(state + "/db/schema") << "10";
  }
  SECTION("by its columns") {
    store.run(fmt::format("sqlite3 {}/db/db.sqlite 'alter table Refs add column kind'", state));
    const auto settled = settle(store, derivation);
    REQUIRE_FALSE(settled.has_value());
    CHECK_THAT(settled.error(), Catch::Contains("other columns in table Refs"));
  }
  CHECK(store.owes(derivation));
  CHECK(store.references(store.output(derivation)).empty());
}

TEST_CASE("what lies among the roots and is none keeps the debt") {
  NEED_PRIVATE_STORE();
  const PrivateStore store;
  const auto derivation = store.build(R"({ script = "echo > $out"; })");
  store.owe(derivation, {});
  std::ofstream(store.layout().debts() + "/" + derivation.base() + "/strange file") << "x";
  const auto settled = settle(store, derivation);
  REQUIRE_FALSE(settled.has_value());
  CHECK_THAT(settled.error(), Catch::Contains("'strange file'"));
  CHECK(store.owes(derivation));
  CHECK(list_debts(store.layout()) == std::vector{derivation});
}

TEST_CASE("a debt that does not belong to the airlock user cannot be removed as root") {
  NEED_PRIVATE_STORE();
  const PrivateStore store;
  const auto derivation = store.build(R"({ script = "echo > $out"; })");
  store.owe(derivation, {});
  store.run("chown -R 0:0 " + store.layout().debts());
  CHECK_FALSE(settle(store, derivation).has_value());
  CHECK(store.owes(derivation));
}

}  // namespace
}  // namespace airlock
