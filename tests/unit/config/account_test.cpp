#include "daemon/config/account.hpp"

#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <fstream>
#include <functional>
#include <string>

#include "tests/unit/skip.hpp"

namespace airlock {
namespace {

/// The exit status of a child that runs `work`.
int in_child(const std::function<int()>& work) {
  const pid_t child = ::fork();
  if (child == 0) ::_exit(work());
  int status = 0;
  ::waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 255;
}

bool status_has(const std::string& line) {
  std::ifstream status("/proc/self/status");
  for (std::string found; std::getline(status, found);)
    if (found == line) return true;
  return false;
}

TEST_CASE("an account is found in the files") {
  const auto root = find_local_account("root", "root");
  REQUIRE(root.has_value());
  CHECK(root->uid == 0);
  const auto nobody = find_local_account("nobody", "nogroup");
  REQUIRE(nobody.has_value());
  CHECK(nobody->uid == 65534);
}

TEST_CASE("a missing user or group is named") {
  CHECK_THAT(find_local_account("no-such-user", "root").error(),
             Catch::Contains("no user 'no-such-user'"));
  CHECK_THAT(find_local_account("root", "no-such-group").error(),
             Catch::Contains("no group 'no-such-group'"));
}

TEST_CASE("root is never what one becomes") {
  CHECK(in_child([] { return become({0, 5}).has_value() ? 0 : 7; }) == 7);
  CHECK(in_child([] { return become({5, 0}).has_value() ? 0 : 7; }) == 7);
}

TEST_CASE("after becoming an account nothing of root is left") {
  if (::geteuid() != 0) {
    airlock::test::skip("needs root to have something to give up");
    return;
  }
  const Account nobody{65534, 65534};
  const auto left = [&] {
    if (!become(nobody)) return 1;
    if (::setuid(0) == 0 || ::setgid(0) == 0) return 2;
    if (::getgroups(0, nullptr) != 0) return 3;
    // Not dumpable, so /proc/self belongs to root; the status file stays readable.
    if (!status_has("NoNewPrivs:\t1")) return 4;
    if (!status_has("CapEff:\t0000000000000000")) return 5;
    if (!status_has("CapPrm:\t0000000000000000")) return 6;
    if (!status_has("CapInh:\t0000000000000000")) return 7;
    if (!status_has("CapAmb:\t0000000000000000")) return 8;
    return 0;
  };
  CHECK(in_child(left) == 0);
}

TEST_CASE("capabilities that were told to survive the change of user do not") {
  if (::geteuid() != 0) {
    airlock::test::skip("needs root to have something to give up");
    return;
  }
  const auto left = [] {
    if (::prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) != 0) return 1;
    if (!become({65534, 65534})) return 2;
    return status_has("CapPrm:\t0000000000000000") ? 0 : 3;
  };
  CHECK(in_child(left) == 0);
}

TEST_CASE("who is already the account stays it, who is another is refused") {
  if (::geteuid() != 0) {
    airlock::test::skip("needs root to take on two accounts");
    return;
  }
  CHECK(in_child([] { return become({65534, 65534}) && become({65534, 65534}) ? 0 : 1; }) == 0);
  CHECK(in_child([] { return become({65534, 65534}) && !become({65533, 65534}) ? 0 : 1; }) == 0);
}

}  // namespace
}  // namespace airlock
