#include "daemon/core/hash.hpp"

#include <rapidcheck/catch.h>

#include <catch2/catch.hpp>

using namespace airlock;

TEST_CASE("SHA-256 of known text, whole and in pieces") {
  constexpr auto expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
  CHECK(sha256("abc").base16() == expected);
  Hasher pieces;
  pieces.update("a");
  pieces.update("");
  pieces.update("bc");
  CHECK(pieces.finish().base16() == expected);
  CHECK(sha256("").base16() == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
}

namespace {

struct Vector {
  const char* algorithm;
  const char* base16;
  const char* nix32;
  const char* base64;
};

// What nix-hash says of the text "just one file\n".
constexpr Vector vectors[] = {
    {"md5", "3be222f7e8b0a0184ee70160eed110bd", "5x238ywq01wx71i85hx3vj5qiv",
     "O+Ii9+iwoBhO5wFg7tEQvQ=="},
    {"sha1", "c8d42e2251c6d744f38fb338c47d8256a115673f", "7xkib8anh9yw8f5kizrl9my6a4i2xm68",
     "yNQuIlHG10Tzj7M4xH2CVqEVZz8="},
    {"sha256", "143688ea4a183132ae694d6dd7b5c49556b9bbe2134132f6fbe040ba6bdf8ae0",
     "1q4avxmvlh70zgv34h8kwaxvjmlmqjsxfvadd6p34c8q9bm8hdhl",
     "FDaI6koYMTKuaU1t17XElVa5u+ITQTL2++BAumvfiuA="},
    {"sha512",
     "d531ea9a995e08bc26297c055ac289a99936e3efaa500caaf27fcb846c077b8f"
     "76b48e6cc564f343fbe5bfc4681cf702312da0129f097f636f2164513484cd8a",
     "25cv11la5j22vv3gw4ry4m05lqh5xqwd32bzrgv8grn9ibciss7d3vv0xn89jvzyam0ql5axzikd6d9i715l1bw54kbq2"
     "2yk6dflcfm",
     "1THqmpleCLwmKXwFWsKJqZk24++qUAyq8n/LhGwHe492tI5sxWTzQ/vlv8RoHPcCMS2gEp8Jf2NvIWRRNITNig=="},
};

}  // namespace

TEST_CASE("every algorithm that Nix has without experimental features is computed, in pieces") {
  for (const auto& vector : vectors) {
    CAPTURE(vector.algorithm);
    const auto algorithm = parse_hash_algorithm(vector.algorithm).value();
    REQUIRE(Hasher::computes(algorithm));
    Hasher pieces(algorithm);
    pieces.update("just one ");
    pieces.update("");
    pieces.update("file\n");
    const auto hash = pieces.finish();
    CHECK(hash.algorithm == algorithm);
    CHECK(hash.base16() == vector.base16);
  }
  CHECK_FALSE(Hasher::computes(HashAlgorithm::blake3));
  CHECK_THROWS_AS(Hasher(HashAlgorithm::blake3), std::invalid_argument);
}

TEST_CASE("a hash is read in every form that Nix writes") {
  for (const auto& vector : vectors) {
    const std::string algorithm = vector.algorithm;
    INFO(algorithm);
    const auto hash = Hash::parse(algorithm + ":" + vector.base16);
    REQUIRE(hash);
    CHECK(name_of(hash->algorithm) == algorithm);
    CHECK(hash->digest.size() == size_of(hash->algorithm));
    CHECK(hash->base16() == vector.base16);
    CHECK(hash->nix32() == vector.nix32);
    CHECK(Hash::parse(algorithm + ":" + vector.nix32) == hash);
    CHECK(Hash::parse(algorithm + ":" + vector.base64) == hash);
    CHECK(Hash::parse(algorithm + "-" + vector.base64) == hash);
    CHECK(Hash::parse(hash->algorithm, vector.nix32) == hash);
  }
  CHECK(sha256("just one file\n") == Hash::parse(HashAlgorithm::sha256, vectors[2].base16));
}

TEST_CASE("what is no hash is refused") {
  const std::string zeros(64, '0');
  for (const std::string& text : {
           std::string(),
           std::string("sha256"),
           std::string("sha256:"),
           "sha257:" + zeros,
           zeros,
           ":" + zeros,
           "sha256:" + zeros.substr(1),
           "sha256:" + zeros + "0",
           "sha256:" + zeros.substr(1) + "g",        // no base 16 digit
           "sha256:" + std::string(51, '0') + "e",   // no base 32 digit
           "sha256:z" + std::string(51, '0'),        // more than 256 bits
           "sha256-" + zeros,                        // SRI must be base 64
           "sha256-" + std::string(43, 'A') + "A",   // padding is missing
           "sha256-" + std::string(42, 'A') + "B=",  // left-over bits
           "sha256:" + std::string(63, '0') + '\0',
       }) {
    INFO(text);
    CHECK_FALSE(Hash::parse(text));
  }
}

TEST_CASE("Nix's base 32") {
  CHECK(to_nix32({}).empty());
  CHECK(from_nix32("")->empty());
  rc::prop("from_nix32 undoes to_nix32", [](const std::vector<std::uint8_t>& bytes) {
    RC_ASSERT(from_nix32(to_nix32(bytes)) == bytes);
  });
  rc::prop("what from_nix32 accepts is what to_nix32 writes", [] {
    const auto digits = *rc::gen::container<std::string>(
        rc::gen::elementOf(std::string("0123456789abcdfghijklmnpqrsvwxyz")));
    const auto bytes = from_nix32(digits);
    RC_PRE(bytes.has_value());
    RC_ASSERT(to_nix32(*bytes) == digits);
  });
  std::string digits;
  for (int c = 0; c < 256; ++c) {
    if (is_nix32_digit(static_cast<char>(c))) digits += static_cast<char>(c);
  }
  CHECK(digits == "0123456789abcdfghijklmnpqrsvwxyz");
}
