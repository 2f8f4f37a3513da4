#include "daemon/core/reference_scan.hpp"

#include <rapidcheck/catch.h>

#include <catch2/catch.hpp>

#include "daemon/core/hash.hpp"

using namespace airlock;

namespace {

constexpr std::string_view digits = "0123456789abcdfghijklmnpqrsvwxyz";

StorePath path(const std::string& base) {
  return StorePath::parse(base).value();
}

const StorePath hello = path("7vjf22s4q601ryrg8k69drq4sg2qx6dp-hello");
const StorePath other = path("92dzma06jwavhjsx6p8k01xan0bvl7lz-other");
const StorePath twin = path("7vjf22s4q601ryrg8k69drq4sg2qx6dp-twin");

using Paths = std::set<StorePath>;

Paths scan(const Paths& candidates, const std::vector<std::string>& pieces) {
  ReferenceScan scan(candidates);
  for (const auto& piece : pieces) scan.write(piece);
  return scan.found();
}

/// The definition: every window of 32 bytes is compared with every candidate.
Paths scan_slowly(const Paths& candidates, const std::string& text) {
  Paths found;
  for (const auto& candidate : candidates) {
    if (text.find(candidate.hash_part()) != std::string::npos) found.insert(candidate);
  }
  return found;
}

}  // namespace

TEST_CASE("a path is found by its hash part") {
  const Paths both{hello, other};
  CHECK(scan(both, {"see /nix/store/7vjf22s4q601ryrg8k69drq4sg2qx6dp-hello/bin"}) == Paths{hello});
  CHECK(scan(both, {"7vjf22s4q601ryrg8k69drq4sg2qx6dp92dzma06jwavhjsx6p8k01xan0bvl7lz"}) == both);
  CHECK(scan(both, {"0007vjf22s4q601ryrg8k69drq4sg2qx6dp"}) == Paths{hello});
  CHECK(scan(both, {"7vjf22s4q601ryrg8k69drq4sg2qx6d"}).empty());
  CHECK(scan(both, {"7vjf22s4q601ryrg8k69drq4sg2qx6d", "P"}).empty());
  CHECK(scan(both, {""}).empty());
  CHECK(scan({}, {"7vjf22s4q601ryrg8k69drq4sg2qx6dp"}).empty());
  CHECK(scan({hello, twin}, {"7vjf22s4q601ryrg8k69drq4sg2qx6dp"}) == Paths{hello, twin});
}

TEST_CASE("a hash part is found across any split") {
  const std::string text = "..abc" + std::string(hello.hash_part()) + "xyz..";
  for (std::size_t first = 0; first <= text.size(); ++first) {
    for (std::size_t second = first; second <= text.size(); ++second) {
      REQUIRE(scan({hello, other}, {text.substr(0, first), text.substr(first, second - first),
                                    text.substr(second)}) == Paths{hello});
    }
  }
  std::vector<std::string> bytes;
  for (const char c : text) bytes.emplace_back(1, c);
  CHECK(scan({hello}, bytes) == Paths{hello});
}

TEST_CASE("the fast scan finds what the definition finds") {
  rc::prop("in pieces of digits, of hash parts and of other bytes", [] {
    const auto hash = rc::gen::container<std::string>(32, rc::gen::elementOf(std::string(digits)));
    const auto hashes = *rc::gen::nonEmpty(rc::gen::container<std::vector<std::string>>(hash));
    Paths candidates;
    for (const auto& each : hashes) candidates.insert(path(each + "-x"));

    const auto run = rc::gen::container<std::string>(rc::gen::elementOf(std::string(digits)));
    const auto piece =
        rc::gen::oneOf(rc::gen::elementOf(hashes), run, rc::gen::arbitrary<std::string>(),
                       rc::gen::map(rc::gen::elementOf(hashes),
                                    [](const std::string& text) { return text.substr(0, 31); }));
    const auto pieces = *rc::gen::container<std::vector<std::string>>(piece);
    std::string text;
    for (const auto& each : pieces) text += each;
    const auto expected = scan_slowly(candidates, text);
    RC_ASSERT(scan(candidates, pieces) == expected);
    RC_ASSERT(scan(candidates, {text}) == expected);
  });
}
