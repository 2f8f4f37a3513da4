#include <sys/stat.h>
#include <unistd.h>

#include <boost/filesystem.hpp>
#include <catch2/catch.hpp>
#include <fstream>
#include <iterator>

#include "daemon/guest/copy_output.hpp"
#include "daemon/guest/returning.hpp"
#include "tests/support/folder.hpp"

using namespace airlock;
using namespace airlock::guest;

namespace {

const std::string a(32, 'a');
const std::string b(32, 'b');
const std::string x = std::string(31, 'a') + "x";  // looks like a's beginning for long
const std::string y(32, 'y');

std::string rewrite_in_pieces(const Replacements& replacements, const std::string& text,
                              std::size_t piece) {
  StringSink sink;
  HashRewriter rewriter(replacements, sink);
  for (std::size_t i = 0; i < text.size(); i += piece)
    rewriter.write(std::string_view(text).substr(i, piece));
  rewriter.finish();
  return sink.text();
}

void write(const std::string& file, const std::string& text) {
  std::ofstream(file) << text;
}

std::string read(const std::string& file) {
  std::ifstream stream(file);
  return {std::istreambuf_iterator<char>(stream), {}};
}

}  // namespace

TEST_CASE("hash parts are replaced wherever writes end") {
  const Replacements replacements{{a, b}, {x, y}, {b, a}};
  const std::vector<std::pair<std::string, std::string>> cases{
      {"", ""},
      {a, b},
      {a + a, b + b},
      {"1" + a + "-n 2" + x + "3", "1" + b + "-n 2" + y + "3"},
      {a.substr(1), a.substr(1)},
      {x, y},
      {b + a, a + b},                      // what was put in is not looked at again
      {a.substr(5) + a, b + a.substr(5)},  // the first of overlapping places counts
      {std::string(70'000, '.') + a, std::string(70'000, '.') + b},
  };
  for (const auto& [from, to] : cases)
    for (std::size_t piece : {1, 2, 31, 32, 33, 64, 65536})
      CHECK(rewrite_in_pieces(replacements, from, piece) == to);
}

TEST_CASE("a name of another length is noticed, and only where it is named") {
  const Replacements replacements{{a, b, true}};
  StringSink sink;
  HashRewriter rewriter(replacements, sink);
  rewriter.write("nothing " + a.substr(1));
  CHECK(rewriter.impossible() == nullptr);
  rewriter.write("." + a);
  REQUIRE(rewriter.impossible() != nullptr);
  CHECK(rewriter.impossible()->from == a);
}

TEST_CASE("a tree is copied with its links, names, bits and empty folders") {
  const test::Folder folder;
  boost::filesystem::create_directories(folder / "from/empty");
  boost::filesystem::create_directories(folder / "from/deep/er");
  write(folder / "from/deep/er/file", "see " + a + "-x\n");
  write(folder / ("from/deep/" + a), "named");
  write(folder / "from/run", "#!/bin/sh\n");
  REQUIRE(::chmod((folder / "from/run").c_str(), 0555) == 0);
  REQUIRE(::symlink(("/store/" + a + "-x/deep").c_str(), (folder / "from/link").c_str()) == 0);
  REQUIRE(::symlink("nowhere", (folder / "from/dangling").c_str()) == 0);
  write(folder / "from/large", std::string(65536 - 7, 'z') + a + std::string(65536, 'z'));
  copy_output(folder / "from", folder / "to", {{a, b}});
  CHECK(read(folder / "to/deep/er/file") == "see " + b + "-x\n");
  CHECK(read(folder / ("to/deep/" + b)) == "named");
  CHECK(boost::filesystem::read_symlink(folder / "to/link") == "/store/" + b + "-x/deep");
  CHECK(boost::filesystem::read_symlink(folder / "to/dangling") == "nowhere");
  CHECK(boost::filesystem::is_empty(folder / "to/empty"));
  CHECK(::access((folder / "to/run").c_str(), X_OK) == 0);
  struct stat status {};
  REQUIRE(::stat((folder / "to/deep/er/file").c_str(), &status) == 0);
  CHECK((status.st_mode & 0111) == 0);
  CHECK(read(folder / "to/large") == std::string(65536 - 7, 'z') + b + std::string(65536, 'z'));
}

TEST_CASE("what cannot be rewritten says where it is and what to do") {
  const test::Folder folder;
  const Replacements replacements{{a, b, true}};
  boost::filesystem::create_directories(folder / "from");
  write(folder / "from/file", a);
  CHECK_THROWS_WITH(
      copy_output(folder / "from", folder / "to", replacements),
      Catch::Contains((folder / "from/file") + " refers") && Catch::Contains("the same name"));
  REQUIRE(::symlink(a.c_str(), (folder / "link").c_str()) == 0);
  CHECK_THROWS_WITH(copy_output(folder / "link", folder / "to2", replacements),
                    Catch::Contains("the same name"));
  write(folder / "there", "");
  CHECK_THROWS_WITH(copy_output(folder / "from/file", folder / "there", {}),
                    Catch::Contains("cannot make"));
  CHECK_THROWS_WITH(copy_output(folder / "absent", folder / "to3", {}),
                    Catch::Contains("cannot look at"));
}

TEST_CASE("outputs go by their names") {
  const StoreLayout layout;
  const auto path = [&](const std::string& hash, const std::string& name) {
    return *StorePath::parse(hash + "-" + name);
  };
  const auto made = replacements_for(layout, {{"out", path(a, "n")}, {"doc", path(x, "n-doc")}},
                                     {{"out", path(b, "n")}});
  REQUIRE(made.size() == 1);
  CHECK(made[0].from == a);
  CHECK(made[0].to == b);
  CHECK_FALSE(made[0].names_differ);
  CHECK(replacements_for(layout, {{"out", path(a, "m")}}, {{"out", path(b, "n")}})[0].names_differ);
  CHECK_THROWS_WITH(replacements_for(layout, {{"out", path(a, "n")}}, {{"dev", path(b, "n-dev")}}),
                    Catch::Contains("'dev'"));
}
