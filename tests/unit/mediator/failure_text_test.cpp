#include "daemon/mediator/failure_text.hpp"

#include <catch2/catch.hpp>

using namespace airlock;
using wire::BuildStatus;

namespace {

std::string text_of(BuildStatus status, const std::string& upstream) {
  const auto path = StorePath::parse(std::string(32, '0') + "-x.drv").value();
  return failure_text(path, {status, upstream}, StoreLayout{});
}

const std::string drv = "'/nix/store/00000000000000000000000000000000-x.drv'";

}  // namespace

TEST_CASE("how a builder failed is kept, the log behind it is not") {
  CHECK(text_of(BuildStatus::permanent_failure,
                "\x1b[0mbuilder for '\x1b[35;1mx\x1b[0m' failed with exit code 3;\nlast 10 log "
                "lines:\n> said at 12:00\nnote: build failure may have been caused by lack of "
                "free disk space") == "builder for " + drv + " failed with exit code 3");
  CHECK(
      text_of(BuildStatus::permanent_failure, "builder for 'x' failed due to signal 9 (Killed)") ==
      "builder for " + drv + " failed due to signal 9");
}

TEST_CASE("a log that looks like the reason is not taken for it") {
  CHECK(text_of(BuildStatus::permanent_failure, "something else\n> failed with exit code 7") ==
        "builder for " + drv + " failed");
}

TEST_CASE("older versions of Nix begin the log on the same line") {
  CHECK(text_of(BuildStatus::permanent_failure,
                "builder for 'x' failed with exit code 3; last 1 log lines:\n  failed with exit "
                "code 7") == "builder for " + drv + " failed with exit code 3");
}

TEST_CASE("newer versions of Nix say it in another line") {
  CHECK(text_of(BuildStatus::permanent_failure,
                "Cannot build 'x'.\nReason: \x1b[31;1mbuilder failed with exit code 3\x1b[0m.\n"
                "Output paths:\n  o\nLast 1 log lines:\n> failed with exit code 7") ==
        "builder for " + drv + " failed with exit code 3");
}

TEST_CASE("how many dependencies failed is not told") {
  CHECK(text_of(BuildStatus::dependency_failed, "3 dependencies of derivation 'x' failed") ==
        "a dependency of " + drv + " was not built");
}

TEST_CASE("why an output was rejected is kept, without colours and breaks") {
  CHECK(text_of(BuildStatus::output_rejected, "output '\x1b[35;1mo\x1b[0m' is not allowed:\n  p") ==
        "output 'o' is not allowed:   p");
}

TEST_CASE("where the sandbox's root was is not told") {
  const auto path = drv.substr(1, drv.size() - 2);
  for (const auto& root : {path + ".chroot/root", path + ".chroot"})
    CHECK(text_of(BuildStatus::output_rejected, "no output at '" + root + "/nix/store/o'") ==
          "no output at '/nix/store/o'");
}
