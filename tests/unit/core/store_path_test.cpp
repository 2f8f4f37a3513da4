#include <catch2/catch.hpp>
#include <cstdlib>

#include "daemon/core/store_layout.hpp"

using namespace airlock;

namespace {
const std::string hash_part = "7vjf22s4q601ryrg8k69drq4sg2qx6dp";
}

TEST_CASE("a store path's parts") {
  const auto path = StorePath::parse(hash_part + "-hello-2.12?=+_.drv");
  REQUIRE(path);
  CHECK(path->hash_part() == hash_part);
  CHECK(path->name() == "hello-2.12?=+_.drv");
  CHECK(path->is_derivation());
  CHECK_FALSE(StorePath::parse(hash_part + "-drv")->is_derivation());
}

TEST_CASE("names at the edge of what is allowed") {
  for (const std::string& name : {std::string("a"), std::string(211, 'x'), std::string("-"),
                                  std::string(".hidden"), std::string("...")}) {
    CHECK(StorePath::parse((hash_part + "-").append(name)));
  }
  for (const std::string& base :
       {std::string(), std::string("."), std::string(".."), hash_part, hash_part + "-",
        hash_part + "-.", hash_part + "-..", hash_part + "-a/b", hash_part + "-a\nb",
        hash_part + "-" + std::string(1, '\0'), hash_part + "-ü", hash_part + "-a b",
        hash_part + "-" + std::string(212, 'x'), hash_part + "xa", hash_part + "/ab",
        "e" + hash_part.substr(1) + "-a", "V" + hash_part.substr(1) + "-a",
        "../" + hash_part.substr(3) + "-a"}) {
    INFO(base);
    const auto path = StorePath::parse(base);
    CHECK_FALSE(path);
    if (!path) CHECK(path.error().find('\n') == std::string::npos);
  }
}

TEST_CASE("a full path is the store folder and a base name, nothing else") {
  const StoreLayout layout;
  const auto text = "/nix/store/" + hash_part + "-a";
  const auto path = layout.parse(text);
  REQUIRE(path);
  CHECK(layout.print(*path) == text);
  for (const std::string& wrong :
       {std::string(), std::string("/nix/store"), std::string("/nix/store/"), text + "/",
        text + "/b", "/" + text, text.substr(1), "/nix/store//" + hash_part + "-a",
        "/nix/stores/" + hash_part + "-a", "/nix/store/../store/" + hash_part + "-a",
        hash_part + "-a", text + std::string(1, '\0')}) {
    INFO(wrong);
    CHECK_FALSE(layout.parse(wrong));
  }
  StoreLayout other;
  other.store_dir = "/tmp/elsewhere/store";
  CHECK_FALSE(other.parse(text));
  CHECK(other.parse(other.print(*path)) == path);
}

TEST_CASE("an error sentence cannot move the cursor") {
  const auto path = StoreLayout().parse("/nix/store/\x1b[2J\n" + std::string(5000, 'x'));
  REQUIRE_FALSE(path);
  CHECK(path.error().size() < 400);
  CHECK(path.error().find_first_of("\x1b\n") == std::string::npos);
}

TEST_CASE("the layout follows Nix's environment variables") {
  ::setenv("NIX_STORE_DIR", "/srv//nix/./store/", 1);
  ::setenv("NIX_STATE_DIR", "", 1);
  ::setenv("NIX_CONF_DIR", "relative", 1);
  const auto layout = StoreLayout::from_environment();
  ::unsetenv("NIX_STORE_DIR");
  ::unsetenv("NIX_STATE_DIR");
  ::unsetenv("NIX_CONF_DIR");
  CHECK(layout.store_dir == "/srv/nix/store");
  CHECK(layout.state_dir == "/nix/var/nix");
  CHECK(layout.conf_dir == "/etc/nix");
  CHECK(layout.daemon_socket() == "/nix/var/nix/daemon-socket/socket");
}
