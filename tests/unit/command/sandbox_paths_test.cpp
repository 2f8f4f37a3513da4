#include "daemon/command/sandbox_paths.hpp"

#include <catch2/catch.hpp>

namespace airlock::command {
namespace {

std::string with(const char* printed) {
  return with_sandbox_path(printed, "/nix/var", "/run/v");
}

TEST_CASE("an entry is printed as Nix reads it") {
  CHECK(with("") == "extra-sandbox-paths\n/nix/var=/run/v\n\n");
}

TEST_CASE("an entry is added after what another hook printed") {
  CHECK(with("extra-sandbox-paths\n/a=/b\n\n") ==
        "extra-sandbox-paths\n/a=/b\n\nextra-sandbox-paths\n/nix/var=/run/v\n\n");
  CHECK(with("extra-sandbox-paths\n/a=/b\n") == "extra-sandbox-paths\n/a=/b\n/nix/var=/run/v\n\n");
  CHECK(with("extra-chroot-dirs\n/a\n") == "extra-chroot-dirs\n/a\n/nix/var=/run/v\n\n");
  CHECK(with("extra-sandbox-paths\n") == "extra-sandbox-paths\n/nix/var=/run/v\n\n");
}

TEST_CASE("a line that is not ended is left out, as Nix ignores it") {
  CHECK(with("extra-sandbox-paths\n/a=/b") == "extra-sandbox-paths\n/nix/var=/run/v\n\n");
  CHECK(with("extra-sandbox-paths") == "extra-sandbox-paths\n/nix/var=/run/v\n\n");
}

TEST_CASE("what Nix does not know stays what Nix refuses") {
  CHECK(with("nonsense\n") == "nonsense\nextra-sandbox-paths\n/nix/var=/run/v\n\n");
}

}  // namespace
}  // namespace airlock::command
