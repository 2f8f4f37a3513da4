#include "daemon/fetch/locks.hpp"

#include <catch2/catch.hpp>

using namespace airlock;
using namespace airlock::fetch;

namespace {

const StoreLayout layout;
const std::string zeros = "sha256-AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
const std::string rev(40, 'a');

std::vector<Lock> parsed(const std::string& text) {
  const auto locks = parse_locks(layout, text, "file");
  INFO((locks ? "" : locks.error()));
  REQUIRE(locks);
  return *locks;
}

std::string error_of(const std::string& text) {
  const auto locks = parse_locks(layout, text, "file");
  REQUIRE_FALSE(locks);
  return locks.error();
}

/// One node of a flake.lock.
std::vector<Lock> flake(const std::string& locked, const std::string& version = "7") {
  return parsed(R"({"nodes": {"root": {"inputs": {}}, "one": {"locked": )" + locked +
                R"(}}, "root": "root", "version": )" + version + "}");
}

StorePath expected(std::string_view name, IngestionMethod method) {
  return path_of(layout, name, {method, Hash::parse(zeros).value()}, {}).value();
}

std::string forge(const std::string& type, const std::string& more = "") {
  return R"({"type": ")" + type + R"(", "owner": "o", "repo": "r", "rev": ")" + rev +
         R"(", "narHash": ")" + zeros + "\"" + more + "}";
}

}  // namespace

TEST_CASE("flake.lock: forges lead to archives") {
  const auto url = [](const std::string& locked) { return flake(locked).at(0).origin.url; };
  CHECK(url(forge("github")) == "https://github.com/o/r/archive/" + rev + ".tar.gz");
  CHECK(url(forge("github", R"(, "host": "h:1")")) ==
        "https://h:1/api/v3/repos/o/r/tarball/" + rev);
  CHECK(url(forge("gitlab")) ==
        "https://gitlab.com/api/v4/projects/o%2Fr/repository/archive.tar.gz?sha=" + rev);
  CHECK(url(forge("sourcehut")) == "https://git.sr.ht/o/r/archive/" + rev + ".tar.gz");
  const auto lock = flake(forge("github")).at(0);
  CHECK(lock.origin.kind == Kind::tarball);
  CHECK(lock.path == expected("source", IngestionMethod::recursive));
}

TEST_CASE("flake.lock: git, tarball, file and path") {
  const auto hash = R"(, "narHash": ")" + zeros + "\"}";
  const auto git =
      flake(R"({"type": "git", "url": "https://h/r", "rev": ")" + rev + "\"" + hash).at(0);
  CHECK(git.origin == Origin{Kind::git, "https://h/r", rev});
  CHECK(git.origin.print() == "git+https://h/r?rev=" + rev);
  CHECK(flake(R"({"type": "tarball", "url": "https://h/t")" + hash).at(0).origin.kind ==
        Kind::tarball);
  const auto file = flake(R"({"type": "file", "url": "https://h/f")" + hash).at(0);
  CHECK(file.origin.kind == Kind::file);
  CHECK(file.path == expected("source", IngestionMethod::recursive));
  const auto folder = flake(R"({"type": "path", "path": "/a/b")" + hash).at(0);
  CHECK(folder.origin.scheme() == "path");
}

TEST_CASE("flake.lock: what is not locked, or leads nowhere, is passed over") {
  const auto hash = R"(, "narHash": ")" + zeros + "\"}";
  CHECK(flake(R"({"type": "tarball", "url": "https://h/t"})").empty());
  CHECK(flake(R"({"type": "git", "url": "https://h/r")" + hash).empty());
  CHECK(flake(R"({"type": "git", "url": "https://h/r", "submodules": true, "rev": ")" + rev + "\"" +
              hash)
            .empty());
  CHECK(flake(R"({"type": "git", "url": "ssh://h/r", "rev": ")" + rev + "\"" + hash).empty());
  CHECK(flake(R"({"type": "path", "path": "./a")" + hash).empty());
  CHECK(flake(R"({"type": "indirect", "id": "x")" + hash).empty());
  CHECK(flake(forge("github", R"(, "host": "h/../x")")).empty());
  CHECK(flake(R"({"type": "tarball", "url": "https://h/t", "narHash": "sha256-short"})").empty());
  CHECK(flake("7").empty());
  CHECK(parsed(R"({"nodes": {"a": 1, "b": {"locked": []}}, "version": 7})").empty());
}

TEST_CASE("flake.lock: another version is an error") {
  CHECK(error_of(R"({"nodes": {}, "version": 8})").find("other than 7") != std::string::npos);
  CHECK(error_of(R"({"nodes": {}})").find("other than 7") != std::string::npos);
}

TEST_CASE("npins: archives are named source, packages after their URL") {
  const auto locks = parsed(R"({"version": 5, "pins": {
    "a": {"type": "Git", "url": "https://h/a.tar.gz", "hash": ")" +
                            zeros + R"("},
    "b": {"type": "PyPi", "url": "https://h/x/b-1.tgz", "hash": ")" +
                            zeros + R"("},
    "c": {"type": "Git", "url": null, "hash": ")" +
                            zeros + R"("},
    "d": {"type": "Git", "url": "https://h/d", "submodules": true, "hash": ")" +
                            zeros + R"("}}})");
  REQUIRE(locks.size() == 2);
  CHECK(locks[0].path == expected("source", IngestionMethod::recursive));
  CHECK(locks[1].path == expected("b-1.tgz", IngestionMethod::flat));
  CHECK(locks[1].origin.kind == Kind::file);
}

TEST_CASE("niv: names are made fit") {
  const auto name = [](const std::string& key) {
    return std::string(parsed(R"({")" + key + R"(": {"type": "tarball", "url": "https://h/a",
      "sha256": ")" + zeros + "\"}}")
                           .at(0)
                           .path.name());
  };
  CHECK(name("nixpkgs") == "nixpkgs-src");
  CHECK(name("..a b//c") == "a-b-c-src");
  CHECK(name("a- b") == "a--b-src");
  CHECK(parsed(R"({"x": {"type": "git", "url": "https://h/a", "sha256": ")" + zeros + "\"}}")
            .empty());
  CHECK(parsed(R"({"x": {"type": "file", "url": "https://h/a", "sha256": ")" + zeros + "\"}}")
            .at(0)
            .path == expected("x-src", IngestionMethod::flat));
}

TEST_CASE("airlock's own list") {
  const auto one = [](const std::string& rest) {
    return parsed(R"([{"hash": ")" + zeros + "\", " + rest + "}]").at(0);
  };
  CHECK(one(R"("url": "https://h/a.txt")").path == expected("a.txt", IngestionMethod::flat));
  CHECK(one(R"("url": "https://h/a", "unpack": true)").path ==
        expected("source", IngestionMethod::recursive));
  CHECK(one(R"("url": "https://h/a", "unpack": true, "name": "n")").path ==
        expected("n", IngestionMethod::recursive));
  const auto git = one(R"("url": "git+https://h/r?ref=main&rev=)" + rev + "\"");
  CHECK(git.origin == Origin{Kind::git, "https://h/r", rev});
  CHECK(parsed("[]").empty());
}

TEST_CASE("airlock's own list: every entry must be right") {
  const auto wrong = [](const std::string& entry) { return error_of("[" + entry + "]"); };
  const auto good = R"("url": "https://h/a", "hash": ")" + zeros + "\"";
  CHECK(wrong("1").find("file: entry 1: is not of the form") == 0);
  CHECK(wrong("{" + good + R"(, "sha": "x"})").find("unknown key 'sha'") != std::string::npos);
  CHECK(wrong("{" + good + R"(, "unpack": 1})").find("wrong type") != std::string::npos);
  CHECK(wrong(R"({"url": "https://h/a", "hash": "md5-x"})").find("no SHA-256") !=
        std::string::npos);
  CHECK(wrong("{" + good + R"(, "name": "a/b"})") != "");
  CHECK(wrong("{" + good + R"(, "name": "a.drv"})").find("derivation") != std::string::npos);
}

TEST_CASE("URLs that are refused wherever they stand") {
  for (const auto* url : {"ftp://h/a", "https://user:word@h/a", "https:///a", "https://-h/a",
                          "ssh://h/a", "/etc/a", "--upload-pack=x", "https://h/a b",
                          "git+ssh://h/r?rev=0", "git+https://h/r", "file://h/a"}) {
    INFO(url);
    CHECK_FALSE(parse_locks(
        layout, R"([{"url": ")" + std::string(url) + R"(", "hash": ")" + zeros + "\"}]", "file"));
  }
}

TEST_CASE("what is no lock file at all") {
  CHECK(error_of("not json") ==
        "file: this is no lock file, as it is not JSON: correct it or remove it");
  CHECK(error_of("").find("not JSON") != std::string::npos);
  CHECK(error_of("3").find("neither a list nor an object") != std::string::npos);
  CHECK(error_of(std::string(100'000, '[')).find("not JSON") != std::string::npos);
  CHECK(error_of(std::string(largest_lock_file + 1, ' ')).find("at most") != std::string::npos);
}
