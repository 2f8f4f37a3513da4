#include "daemon/settle/signing_key.hpp"

#include <catch2/catch.hpp>

namespace airlock {
namespace {

// Made by `nix key generate-secret` and `nix store sign` of Nix 2.8.0.
constexpr const char* secret =
    "test-1:ysudwBsgd+m/ZhCg3yyxBrDm0gxZghV1BGGUy078QHiFkxEDo9VhSnpX0oSQBY//"
    "ndHHWYEA1EwgsIi8fXsOaQ==";
constexpr const char* signature =
    "test-1:WpysONQpMxpXU5rDBqZtzekpYKKKcZFiGu+cUi4Jd4gLHhzkNdPdfo3F+pvRS3lhqms+"
    "VPSne594ymZz4npLDw==";

StorePath path(const char* base) {
  return StorePath::parse(base).value();
}

TEST_CASE("a path is signed as Nix signs it") {
  const StoreLayout layout{.store_dir = "/tmp/vec/store"};
  const auto key = SigningKey::parse(secret);
  REQUIRE(key.has_value());
  const auto hash = Hash::parse("sha256-6Ivr/O5S/V9RlVzXnjE0+itwLn9yv/aahXFZIouvQhc=").value();
  const auto text = fingerprint(layout, path("0iqzkmmn4w7gsh02fsh93jjwrna1lkvq-outer"), hash, 224,
                                {path("k72b5wj9rwicggd353qfjha8qfc5i6bm-nix.conf"),
                                 path("hhqffldfdrgqwbq0a4k62f6gqs1d0js0-b")});
  CHECK_THAT(text, Catch::StartsWith("1;/tmp/vec/store/0iqzkmmn4w7gsh02fsh93jjwrna1lkvq-outer;"
                                     "sha256:") &&
                       Catch::EndsWith(";224;/tmp/vec/store/hhqffldfdrgqwbq0a4k62f6gqs1d0js0-b,"
                                       "/tmp/vec/store/k72b5wj9rwicggd353qfjha8qfc5i6bm-nix.conf"));
  CHECK(key->sign(text) == signature);
}

TEST_CASE("a key may end with a line end") {
  CHECK(SigningKey::parse(std::string(secret) + "\n").value().sign("x") ==
        SigningKey::parse(secret).value().sign("x"));
}

TEST_CASE("what is no key is refused without being repeated") {
  const auto* text = GENERATE("", "no colon", ":AAAA", "name:", "name:AAAA", "name:*");
  const auto key = SigningKey::parse(text);
  REQUIRE_FALSE(key.has_value());
  CHECK(key.error() == "it is not a secret key, \"<name>:<base64 of 64 bytes>\"");
  CHECK_FALSE(SigningKey::parse(std::string(secret).substr(0, 60)).has_value());
}

}  // namespace
}  // namespace airlock
