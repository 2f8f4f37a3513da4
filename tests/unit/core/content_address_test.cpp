#include "daemon/core/content_address.hpp"

#include <catch2/catch.hpp>

using namespace airlock;

namespace {

const StoreLayout layout;

ContentAddress address(std::string_view text) {
  auto parsed = ContentAddress::parse(text);
  REQUIRE(parsed);
  return *std::move(parsed);
}

StorePath path(std::string_view base) {
  return StorePath::parse(base).value();
}

std::string base_of(std::string_view name, std::string_view ca, const References& references = {}) {
  const auto result = path_of(layout, name, address(ca), references);
  REQUIRE(result);
  return result->base();
}

constexpr auto zeros = "0000000000000000000000000000000000000000000000000000";
constexpr auto one = "143688ea4a183132ae694d6dd7b5c49556b9bbe2134132f6fbe040ba6bdf8ae0";
constexpr auto tree = "a378e4b0d934b3dc340b94e5a7de6726dee6384f19b989e25da909af15774443";

}  // namespace

TEST_CASE("content addresses and methods are printed as they were read") {
  for (const std::string prefix :
       {"text:sha256", "fixed:sha256", "fixed:r:sha256", "fixed:git:sha256"}) {
    CHECK(address(prefix + ":" + zeros).print() == prefix + ":" + zeros);
    const auto method = AddMethod::parse(prefix);
    REQUIRE(method);
    CHECK(method->print() == prefix);
  }
  for (const std::string method :
       {"fixed:md5", "fixed:r:sha1", "fixed:r:sha512", "fixed:blake3", "fixed:git:sha1"}) {
    REQUIRE(AddMethod::parse(method));
    CHECK(AddMethod::parse(method)->print() == method);
  }
  CHECK(address(std::string("fixed:r:sha256:") + tree).print() ==
        "fixed:r:sha256:0hs4fwasy2d9bpi8kf8r9wwfdpi6czgagrcl1csdrcrlv6qf8y53");
}

TEST_CASE("what is no content address or method is refused") {
  for (const std::string method :
       {"", ":", "text", "text:", "fixed", "fixed:", "fixed:r:", "sha256", "r:sha256", "fixed:r",
        "fixed:git:r:sha1", "fixed:sha3", "text:r:sha256", "text:sha1", "fixed:git:md5",
        "Fixed:sha256", "fixed:sha256 ", "fixed:sha256:"}) {
    INFO(method);
    CHECK_FALSE(AddMethod::parse(method));
    CHECK_FALSE(ContentAddress::parse(method));
    CHECK_FALSE(ContentAddress::parse(method + ":" + zeros).has_value());
  }
  CHECK_FALSE(ContentAddress::parse(std::string("fixed:sha1:") + zeros));
  CHECK_FALSE(ContentAddress::parse(std::string("fixed:sha256:") + zeros + ":"));
}

TEST_CASE("store paths of content are those that Nix computes") {
  const std::string sha256 = std::string("sha256:") + one;
  CHECK(base_of("one", "fixed:" + sha256) == "vsm0v58rq981f542303yvlyxh3yxky76-one");
  CHECK(base_of("some-name", "fixed:" + sha256) == "jrsyply8r11rs0fj3kd753vs7959krhq-some-name");
  CHECK(base_of("one", "fixed:sha1:c8d42e2251c6d744f38fb338c47d8256a115673f") ==
        "gnc3xlyjk6m1sfm8mgkb08ajwzfw795b-one");
  CHECK(base_of("one", "fixed:r:sha1:0b37438cda51134134eee19b50e39060eac3d806") ==
        "1489li2psycjyiapk2hjagcy42lq4kxs-one");
  CHECK(base_of("tree", std::string("fixed:r:sha256:") + tree) ==
        "206ghg31bsmx0r087jwlxqv06jkhz937-tree");
  CHECK(base_of("tree",
                "fixed:r:sha512:"
                "e7a3da592448e3a79675ba4fd2bcef08fd4641630ca2c4adcbed094d593ed98c"
                "07d8cae299f89603e656500cab446b1a62719b54bf87aefc7917a71ca0ca4354") ==
        "kfzkhbskqqcg17za39yl7ww6hrwi1w9n-tree");
  CHECK(base_of("text-with-refs", "text:sha256:" + sha256.substr(7)) !=
        base_of("text-with-refs", "fixed:sha256:" + sha256.substr(7)));
  CHECK(base_of("text-with-refs", "text:sha256:" + airlock::sha256("plain").nix32()) ==
        "rpxhls24j3h8m01qw3kp1i1gj4wfhygp-text-with-refs");
}

TEST_CASE("references and the store folder are part of the path") {
  const References others{{path("js3q8pychvypz3x91hp8g00hhsn1i5lm-one"),
                           path("yb4rzkxjy22nxps21hn9wjd71yg4qcbk-text-with-refs")},
                          false};
  CHECK(base_of("plain-refs", "fixed:r:sha256:1r6hj2xw60yxk6171aibb1k07m39rg8c2iq20n9rr49gvg4fb65r",
                others) == "qx5jl8dpbfs1kisg7qdmdgvfha4mllsg-plain-refs");
  const References self{{path("js3q8pychvypz3x91hp8g00hhsn1i5lm-one")}, true};
  CHECK(base_of("selfish", "fixed:r:sha256:0b9i6lcvlm9159pv0z4bcsyhy850g21kadp59zrp9pqkyrg19j2v",
                self) == "1715ipi59dakbcrvg32yzsrjqfxrkwgs-selfish");

  StoreLayout elsewhere;
  elsewhere.store_dir = "/tmp/elsewhere/store";
  const auto moved = path_of(elsewhere, "tree", address(std::string("fixed:r:sha256:") + tree), {});
  REQUIRE(moved);
  CHECK(moved->base() == "n68f0awd3r10jnzkz6zllfdhl1zjjv43-tree");
}

TEST_CASE("what has no store path") {
  const References self{{}, true};
  const References other{{path("js3q8pychvypz3x91hp8g00hhsn1i5lm-one")}, false};
  const auto refused = [](const std::string& ca, const References& references) {
    return !path_of(layout, "x", address(ca), references).has_value();
  };
  const std::string digits = zeros;
  CHECK(refused("text:sha256:" + digits, self));
  CHECK(refused("fixed:sha256:" + digits, self));
  CHECK(refused("fixed:sha256:" + digits, other));
  CHECK(refused("fixed:git:sha256:" + digits, other));
  CHECK(refused("fixed:r:sha1:" + std::string(40, '0'), other));
  CHECK_FALSE(refused("fixed:git:sha256:" + digits, {}));
  CHECK_FALSE(refused("text:sha256:" + digits, other));

  // One made by hand need not have passed parse.
  const ContentAddress by_hand{IngestionMethod::text, {HashAlgorithm::md5, {}}};
  CHECK_FALSE(path_of(layout, "x", by_hand, {}));
  for (const std::string& name :
       {std::string(), std::string("."), std::string("a/b"), std::string(212, 'x')}) {
    CHECK_FALSE(path_of(layout, name, address("fixed:sha256:" + digits), {}));
  }
}
