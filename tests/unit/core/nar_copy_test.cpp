#include <rapidcheck/catch.h>

#include <catch2/catch.hpp>

#include "daemon/core/nar.hpp"
#include "tests/unit/core/nar_tree.hpp"

using namespace airlock;
using namespace airlock::test;

namespace {

struct Copy {
  bool complete = false;
  std::string error;
  std::string written;
  std::string rest;
  std::uint64_t size = 0;
};

Copy copy(std::string_view archive, const NarLimits& limits = {}) {
  Copy result;
  StringSource source(archive);
  StringSink sink;
  try {
    result.size = copy_nar(source, sink, limits);
    result.complete = true;
  } catch (const ConnectionOver& over) {
    result.error = over.what();
  }
  result.written = sink.text();
  result.rest = source.rest();
  return result;
}

bool copies(const std::string& archive, const NarLimits& limits = {}) {
  const auto result = copy(archive, limits);
  return result.complete && result.written == archive && result.size == archive.size() &&
         result.rest.empty();
}

std::string archive_of(const std::vector<std::string>& strings) {
  return nar_string("nix-archive-1") + nar_strings(strings);
}

Tree file(std::string contents, bool executable = false) {
  return {Tree::File{std::move(contents), executable}};
}

const Tree small{Tree::Folder{{"a", file("contents of a")},
                              {"b", {Tree::Folder{{"run", file("#!", true)}}}},
                              {"c", {Tree::Symlink{"target"}}}}};

rc::Gen<Tree> any_tree(int depth) {
  auto leaf = rc::gen::oneOf(
      rc::gen::map(rc::gen::pair(rc::gen::arbitrary<std::string>(), rc::gen::arbitrary<bool>()),
                   [](auto pair) {
                     return Tree{Tree::File{pair.first, pair.second}};
                   }),
      rc::gen::map(rc::gen::nonEmpty(rc::gen::container<std::string>(rc::gen::inRange('!', 'z'))),
                   [](std::string target) { return Tree{Tree::Symlink{std::move(target)}}; }));
  if (depth == 0) return leaf;
  auto name = rc::gen::suchThat(
      rc::gen::nonEmpty(rc::gen::container<std::string>(rc::gen::suchThat(
          rc::gen::arbitrary<char>(), [](char c) { return c != '/' && c != '\0'; }))),
      [](const std::string& text) { return text != "." && text != ".." && text.size() < 256; });
  auto folder = rc::gen::map(
      rc::gen::scale(0.4, rc::gen::container<Tree::Folder>(
                              name, rc::gen::lazy([depth] { return any_tree(depth - 1); }))),
      [](Tree::Folder entries) { return Tree{std::move(entries)}; });
  return rc::gen::weightedOneOf<Tree>({{1, leaf}, {2, folder}});
}

Tree nested(unsigned folders) {
  Tree tree{Tree::Folder{}};
  for (unsigned i = 1; i < folders; ++i) tree = Tree{Tree::Folder{{"x", std::move(tree)}}};
  return tree;
}

}  // namespace

TEST_CASE("a copy has the same bytes and ends where the archive ends") {
  CHECK(copies(nar(small)));
  CHECK(copies(nar(file(""))));
  CHECK(copies(nar({Tree::Folder{}})));
  for (const std::size_t size : {7U, 8U, 9U, 65535U, 65536U, 65537U, 200000U}) {
    CHECK(copies(nar(file(std::string(size, 'x'), true))));
  }
  const auto followed = copy(nar(small) + "what follows");
  CHECK(followed.complete);
  CHECK(followed.rest == "what follows");
  rc::prop("of any tree", [] {
    const auto archive = nar(*any_tree(4).as("tree is random"));
    RC_ASSERT(copies(archive));
  });
}

TEST_CASE("no truncation of an archive passes") {
  const auto archive = nar(small);
  for (std::size_t size = 0; size < archive.size(); ++size) {
    const auto result = copy(archive.substr(0, size));
    CHECK_FALSE(result.complete);
    CHECK(archive.starts_with(result.written));
  }
}

TEST_CASE("a corrupted byte is refused unless it is content, a name or a target") {
  const auto archive = nar(small);
  std::size_t passed = 0;
  for (std::size_t at = 0; at < archive.size(); ++at) {
    for (int value = 0; value < 256; ++value) {
      auto corrupted = archive;
      corrupted[at] = static_cast<char>(value);
      if (corrupted == archive) continue;
      const auto result = copy(corrupted);
      if (result.complete) {
        ++passed;
        REQUIRE(result.written == corrupted);
        REQUIRE(result.rest.empty());
      } else {
        REQUIRE(corrupted.starts_with(result.written));
      }
    }
  }
  // Contents (13 + 2 bytes) may become anything, the target's 6 bytes anything but NUL. Of the
  // names, "a", "b" and "c" must stay in order, and "run" may not get a slash or NUL.
  const std::size_t contents = 15 * 255;
  const std::size_t target = 6 * 254;
  const std::size_t run = 3 * 253;
  const std::size_t a = 'a' - 1 - 2;  // 1 to 'a' - 1, but not '.' or '/'
  const std::size_t c = 255 - 'c';    // 'c' + 1 to 255
  // A content's length may grow over what was padding.
  const std::size_t lengths = (16 - 13) + (8 - 2);
  CHECK(passed == contents + target + run + a + c + lengths);
}

TEST_CASE("only the form that Nix writes is an archive") {
  const std::vector<std::vector<std::string>> malformed = {
      {},
      {"(", ")"},
      {"(", "type", "fifo", ")"},
      {"(", "type", "regular", ")"},
      {"(", "type", "regular", "contents", "x", "contents", "y", ")"},
      {"(", "type", "regular", "executable", "x", "contents", "x", ")"},
      {"(", "type", "regular", "contents", "x", "executable", "", ")"},
      {"(", "type", "regular", "type", "regular", "contents", "x", ")"},
      {"(", "type", "symlink", ")"},
      {"(", "type", "symlink", "target", "", ")"},
      {"(", "type", "symlink", "target", std::string("a\0b", 3), ")"},
      {"(", "type", "directory", "entry", "(", "name", "a", ")", ")"},
      {"(", "type", "directory", "entry", "(", "node", "(", "type", "directory", ")", ")", ")"},
  };
  for (const auto& strings : malformed) {
    auto padded = strings;
    padded.insert(padded.end(), 8, ")");
    INFO(Catch::StringMaker<std::vector<std::string>>::convert(strings));
    CHECK_FALSE(copy(archive_of(padded)).complete);
  }
  CHECK_FALSE(copy(nar_string("nix-archive-2") + nar_node(small)).complete);
}

TEST_CASE("names that could lead elsewhere or be read in two ways are refused") {
  const auto folder = [](const std::vector<std::string>& names) {
    std::string archive = archive_of({"(", "type", "directory"});
    for (const auto& name : names) {
      archive +=
          nar_strings({"entry", "(", "name", name, "node"}) + nar_node(file("")) + nar_string(")");
    }
    return archive + nar_string(")");
  };
  CHECK(copies(folder({"a", "b"})));
  CHECK(copies(folder({"a", "a.b", "aa", "\xff"})));
  CHECK(copies(folder({std::string(255, 'x')})));
  for (const std::string& name :
       {std::string(), std::string("."), std::string(".."), std::string("a/b"), std::string("/"),
        std::string("a\0", 2), std::string(256, 'x')}) {
    CHECK_FALSE(copy(folder({name})).complete);
  }
  CHECK_FALSE(copy(folder({"a", "a"})).complete);
  CHECK_FALSE(copy(folder({"b", "a"})).complete);
  CHECK_FALSE(copy(folder({"\xff", "a"})).complete);
}

TEST_CASE("limits hold before anything is read for them") {
  NarLimits limits;
  limits.depth = 3;
  CHECK(copies(nar(nested(3)), limits));
  CHECK_FALSE(copy(nar(nested(4)), limits).complete);
  CHECK_FALSE(copy(nar(nested(1000))).complete);

  limits = {};
  limits.target_length = 4;
  CHECK(copies(nar({Tree::Symlink{"abcd"}}), limits));
  CHECK_FALSE(copy(nar({Tree::Symlink{"abcde"}}), limits).complete);

  const auto archive = nar(small);
  limits = {};
  limits.size = archive.size();
  CHECK(copies(archive, limits));
  limits.size = archive.size() - 1;
  CHECK_FALSE(copy(archive, limits).complete);

  // Lengths that no archive can have.
  for (const char byte : {'\x7f', '\xff'}) {
    const std::string length(8, byte);
    CHECK_FALSE(copy(length).complete);
    const auto contents =
        copy(archive_of({"(", "type", "regular", "contents"}) + length + std::string(4096, 'x'));
    CHECK(contents.error == "the archive (NAR) is refused: it is too large");
    CHECK(contents.rest.size() == 4096);
  }
}

TEST_CASE("the content of a single small file is kept") {
  const auto kept = [](const Tree& tree, std::size_t limit) {
    const auto archive = nar(tree);
    StringSource source(archive);
    StringSink sink;
    std::optional<SingleFile> found = SingleFile{"from before", true};
    CHECK(copy_nar(source, sink, {}, limit, found) == archive.size());
    CHECK(sink.text() == archive);
    return found;
  };
  CHECK(kept(file("text"), 4) == SingleFile{"text", false});
  CHECK(kept(file("text"), 3) == std::nullopt);
  CHECK(kept(file(""), 0) == SingleFile{});
  CHECK(kept({Tree::File{"text", true}}, 4) == SingleFile{"text", true});
  CHECK(kept(file(std::string(100000, 'x')), 100000) ==
        SingleFile{std::string(100000, 'x'), false});
  CHECK(kept(small, 1000) == std::nullopt);
  CHECK(kept({Tree::Symlink{"text"}}, 1000) == std::nullopt);
}
