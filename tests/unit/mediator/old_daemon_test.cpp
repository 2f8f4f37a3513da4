#include "daemon/mediator/old_daemon.hpp"

#include <catch2/catch.hpp>
#include <optional>

#include "daemon/core/nar.hpp"

using namespace airlock;
using wire::BuildStatus;

TEST_CASE("daemons before 1.26 tell by the exit status how a build failed") {
  const auto status = [](std::uint64_t code) {
    return status_of_old_failure({0, "build of 'x' failed", {}, code}, {1, 21});
  };
  CHECK(status(100) == BuildStatus::permanent_failure);
  CHECK(status(101) == BuildStatus::timed_out);
  CHECK(status(102) == BuildStatus::output_rejected);
  CHECK(status(1) == BuildStatus::misc_failure);  // whatever it was, it may be the host's
}

TEST_CASE("those before 1.34 tell by the message alone") {
  const auto status = [](const char* message) {
    return status_of_old_failure({0, message, {}}, {1, 32});
  };
  CHECK(status("builder for 'x.drv' failed with exit code 1") == BuildStatus::permanent_failure);
  CHECK(status("building of 'x.drv' timed out after 2 seconds") == BuildStatus::timed_out);
  CHECK(status("1 dependencies of derivation 'x.drv' failed to build") ==
        BuildStatus::dependency_failed);
  CHECK(status("hash mismatch in fixed-output derivation 'x.drv'") == BuildStatus::output_rejected);
  // What the builder printed is not looked at.
  CHECK(status("builder for 'x' failed with exit code 1;\nlast 2 log lines:\n> it timed out\n") ==
        BuildStatus::permanent_failure);
  CHECK(status("builder for 'x' failed with exit code 1; last 2 log lines:\n  it timed out\n") ==
        BuildStatus::permanent_failure);
  CHECK(status("no space;\nlast 2 log lines:\n> failed with exit code 1\n") ==
        BuildStatus::misc_failure);
  CHECK(status("cannot create directory: No space left on device") == BuildStatus::misc_failure);
}

TEST_CASE("a flat file becomes the archive of one regular file") {
  StringSink nar;
  write_file_nar("hello", nar);
  StringSource source(nar.text());
  StringSink copy;
  std::optional<SingleFile> file;
  copy_nar(source, copy, {}, 100, file);
  CHECK(file == SingleFile{"hello", false});
  CHECK(source.rest().empty());
}
