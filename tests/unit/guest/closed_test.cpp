#include "daemon/guest/closed.hpp"

#include <catch2/catch.hpp>

#include "daemon/guest/call.hpp"
#include "daemon/guest/evaluation.hpp"

using namespace airlock;
using namespace airlock::guest;

namespace {

const StoreLayout layout;
const std::string base = "0123456789abcdfghijklmnpqrsvwxyz-tree";
const std::string tree = "/nix/store/" + base;

std::optional<Call> parse(Program program, std::vector<std::string> words) {
  return parse_call(program, words);
}

std::vector<std::string> canonical(std::vector<std::string> words) {
  const auto call = parse(Program::nix_instantiate, std::move(words));
  REQUIRE(call);
  return evaluator_arguments(*call);
}

}  // namespace

TEST_CASE("expressions that name nothing outside the store are closed") {
  const std::vector<std::pair<std::string, bool>> closed{
      {"1 + 1", false},
      {"", false},
      {"import <nixpkgs> { }", false},
      {"import <nixpkgs/lib/a.nix>", false},
      {"a // b // { c = 4 / 2; }", false},
      {"a <b && b> c", false},
      {"import " + tree, true},
      {"import " + tree + "/a/b.nix { }", true},
      {"(\"" + tree + "\")", true},
      {"[" + tree + "]", true},
  };
  for (const auto& [text, names] : closed) {
    INFO(text);
    const auto found = closed_expression(layout, text);
    REQUIRE(found);
    CHECK(found->size() == (names ? 1u : 0u));
  }
}

TEST_CASE("expressions that could lead out of the store are not closed") {
  for (const std::string& text : {std::string("./."),
                                  std::string("./a.nix"),
                                  std::string("../a"),
                                  std::string("a/b"),
                                  std::string("/etc/passwd"),
                                  std::string("~/x"),
                                  std::string("import ./${name}"),
                                  std::string("\"/\" + \"etc\""),
                                  std::string("\"/etc\""),
                                  std::string("x: /a"),
                                  std::string("a /b"),
                                  std::string("a/ b"),
                                  std::string("/"
                                              "*c*"
                                              "/ 1"),
                                  std::string("<nixpkgs/../../etc>"),
                                  std::string("</etc>"),
                                  std::string("/nix/store"),
                                  std::string("/nix/store/short"),
                                  tree + "/../x",
                                  tree + "/a/../../x",
                                  tree + "/${x}",
                                  "." + tree,
                                  "a" + tree,
                                  "~" + tree,
                                  "${x}" + tree,
                                  std::string("https://example.org"),
                                  tree + "//etc/..",
                                  std::string("''/'' + x")}) {
    INFO(text);
    CHECK_FALSE(closed_expression(layout, text));
  }
}

TEST_CASE("strings are closed unless they are a path outside") {
  for (const std::string text : {"", "plain", "a/b", "echo $out/x", "cat /etc/x"})
    CHECK(closed_string(layout, text));
  for (const std::string text : {"/etc/passwd", "/", "/nix/store", "/nix/store/x"})
    CHECK_FALSE(closed_string(layout, text));
  CHECK_FALSE(closed_string(layout, tree + "/../../etc"));
  CHECK(closed_string(layout, "PATH=" + tree + "/bin:" + tree + "/sbin")->size() == 1);
}

TEST_CASE("a call is understood whole or not at all") {
  using enum Program;
  for (const std::vector<std::string>& words :
       std::vector<std::vector<std::string>>{{},
                                             {"--eval", "x.nix"},
                                             {"--strict", "x.nix"},
                                             {"--read-write-mode", "x.nix"},
                                             {"--parse", "x.nix"},
                                             {"--json", "x.nix"},
                                             {"--dry-run", "x.nix"},
                                             {"--repair", "x.nix"},
                                             {"--find-file", "x"},
                                             {"--unknown", "x.nix"},
                                             {"x.nix", "-A"},
                                             {"x.nix", "--arg", "a"},
                                             {"x.nix", "--option", "a"},
                                             {"-E"},
                                             {"-", "x.nix"},
                                             {tree + ".drv"},
                                             {tree + ".drv!out"},
                                             {"x.nix", "-o", "y"}}) {
    CHECK_FALSE(parse(nix_instantiate, words));
  }
  CHECK(parse(nix_instantiate, {"-"})->reads_stdin);
  CHECK_FALSE(parse(nix_build, {"-"}));
  CHECK_FALSE(parse(nix_build, {"x.nix", "--check"}));
  CHECK_FALSE(parse(nix_build, {"x.nix", "--add-root", "y"}));
  CHECK(parse(nix_instantiate, {"x.nix", "--add-root", "y", "--indirect"})->root == "y");
  const auto call =
      parse(nix_build, {"x.nix", "-o", "y", "-k", "--cores", "2", "--option", "a", "b"});
  REQUIRE(call);
  CHECK(call->for_build ==
        std::vector<std::string>{"-o", "y", "-k", "--cores", "2", "--option", "a", "b"});
  CHECK(call->settings == std::vector<std::string>{"--option", "a", "b"});
}

TEST_CASE("calls that mean the same are written alike") {
  CHECK(canonical({"x", "--argstr", "b", "1", "-A", "p", "--arg", "a", "2", "-v"}) ==
        std::vector<std::string>{"x", "-A", "p", "--arg", "a", "2", "--argstr", "b", "1"});
  CHECK(canonical({"-A", "p", "--arg", "a", "2", "x", "--argstr", "b", "1"}) ==
        canonical({"x", "--argstr", "b", "1", "-A", "p", "--arg", "a", "2"}));
  CHECK(canonical({"-A", "p", "-A", "q", "x"}) != canonical({"-A", "q", "-A", "p", "x"}));
  CHECK(canonical({"--expr", "1"}) == std::vector<std::string>{"-E", "1"});
}

TEST_CASE("an evaluation is the derivation that Nix makes for the same attributes") {
  Evaluation evaluation;
  evaluation.system = "x86_64-linux";
  evaluation.program = tree + "/bin/nix-instantiate";
  evaluation.arguments = {"-E", "1"};
  evaluation.inputs = {*StorePath::parse(base)};
  const auto made = derivation_of(layout, evaluation);
  REQUIRE(made);
  const auto& [derivation, output] = *made;
  CHECK(derivation.kind() == DerivationKind::input_addressed);
  CHECK(derivation.requires_feature("airlock"));
  CHECK(derivation.environment.at("out") == layout.print(output));
  CHECK(Derivation::parse_as(layout, "evaluation.drv", derivation.unparse(layout)));
  evaluation.search_path = {"nixpkgs=" + tree};
  CHECK(derivation_of(layout, evaluation)->second != output);
}
