#include "daemon/guest/settings.hpp"

#include <catch2/catch.hpp>
#include <string>

using namespace airlock::guest;

TEST_CASE(
    "settings that take words mean the same anywhere; those that name files, or are unknown, do "
    "not") {
  for (const char* name : {"cores", "system", "extra-experimental-features", "restrict-eval",
                           "abort-on-warn", "warn-short-path-literals"})
    CHECK(names_no_file(name));
  for (const char* name : {"nix-path", "extra-nix-path", "plugin-files", "netrc-file", "store",
                           "extra-", "", "unheard-of", "build-hook"})
    CHECK_FALSE(names_no_file(name));
}

TEST_CASE("lines of nix.conf name no file, whatever they look like") {
  for (const std::string text : {"", "\n\n", "# nothing", "cores = 3",
                                 "cores = 3\n# nix-path = x\nextra-system-features = a b\n",
                                 " \tcores\t=\t3 # four\r\n", "cores ="})
    CHECK(name_no_file(text));
  for (const std::string text :
       {"nix-path = a=/b", "cores = 3\nnix-path = a=b", "include /x", "!include x", "cores=3",
        "cores", "cores\n= 3", "=", "\nextra-nix-path = a=b"})
    CHECK_FALSE(name_no_file(text));
}
