// That the members of a real group are counted is shown end to end (starvation.sh).
#include "daemon/mediator/build_users.hpp"

#include <boost/filesystem.hpp>
#include <catch2/catch.hpp>
#include <fstream>

using namespace airlock;

TEST_CASE("how many build users there are is not guessed") {
  const auto folder = boost::filesystem::temp_directory_path() /
                      boost::filesystem::unique_path("airlock-test-%%%%%%%%");
  boost::filesystem::create_directory(folder);
  const std::string text =
      GENERATE(as<std::string>{}, "build-users-group = no-such-group-as-this\n",
               "build-users-group = root\nauto-allocate-uids = true\n",
               "this is no setting of Nix's\n", "include missing.conf\n");
  std::ofstream((folder / "nix.conf").string()) << text;
  StoreLayout layout;
  layout.conf_dir = folder.string();
  CAPTURE(text);
  CHECK_FALSE(find_build_users(layout));
  boost::filesystem::remove_all(folder);
}
