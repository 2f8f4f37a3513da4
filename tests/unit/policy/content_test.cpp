#include "daemon/policy/content.hpp"

#include <catch2/catch.hpp>

#include "daemon/core/stream.hpp"
#include "tests/unit/core/nar_tree.hpp"

namespace airlock::policy {
namespace {

Hash hash(HashAlgorithm algorithm, std::string_view bytes) {
  Hasher hasher(algorithm);
  hasher.update(bytes);
  return hasher.finish();
}

bool matches(const wire::PathInfo& info, const ContentAddress& address, std::string_view content) {
  const auto archive = test::nar({test::Tree::File{std::string(content)}});
  StringSink passed;
  ArchiveCheck check(passed, info, address);
  check.write(archive.substr(0, 40));
  check.write(archive.substr(40));
  REQUIRE(passed.text() == archive);
  return check.matches(SingleFile{std::string(content), false});
}

TEST_CASE("an archive is what its hash, its size and its address say, by every algorithm of Nix") {
  const auto algorithm = GENERATE(HashAlgorithm::md5, HashAlgorithm::sha1, HashAlgorithm::sha256,
                                  HashAlgorithm::sha512);
  const auto method = GENERATE(IngestionMethod::recursive, IngestionMethod::flat);
  const auto archive = test::nar({test::Tree::File{"content"}});
  const ContentAddress address{
      method, hash(algorithm, method == IngestionMethod::recursive ? archive : "content")};
  wire::PathInfo info;
  info.nar_hash = sha256(archive).base16();
  info.nar_size = archive.size();
  CHECK(matches(info, address, "content"));
  CHECK_FALSE(matches(info, address, "CONTENT"));
  // Nix compares the size only when it does not have the path.
  auto other = info;
  other.nar_size += 8;
  CHECK_FALSE(matches(other, address, "content"));
  other = info;
  other.nar_hash = sha256("other").base16();
  CHECK_FALSE(matches(other, address, "content"));
  CHECK_FALSE(matches(info, {method, hash(algorithm, "other")}, "content"));
}

TEST_CASE("an address that hashes one file's content is not that of anything else") {
  const ContentAddress address{IngestionMethod::text, sha256("content")};
  const auto archive = test::nar({test::Tree::File{"content"}});
  wire::PathInfo info;
  info.nar_hash = sha256(archive).base16();
  info.nar_size = archive.size();
  StringSink passed;
  ArchiveCheck check(passed, info, address);
  check.write(archive);
  CHECK_FALSE(check.matches(
      GENERATE(as<std::optional<SingleFile>>{}, std::nullopt, SingleFile{"content", true})));
}

}  // namespace
}  // namespace airlock::policy
