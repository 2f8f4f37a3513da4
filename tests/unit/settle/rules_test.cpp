#include <fmt/format.h>

#include <catch2/catch.hpp>

#include "tests/unit/settle/settling.hpp"

namespace airlock {
namespace {

using test::hidden;
using test::PrivateStore;
using test::settle;
using Outcome = Settled::Outcome;

TEST_CASE("rules of the derivation hold for the complete references") {
  NEED_PRIVATE_STORE();
  struct Case {
    const char* rule;      // %1: the granted path, %2: what it refers to
    const char* violated;  // empty: kept
  };
  const auto rule = GENERATE(values<Case>({
      {"", ""},
      {"allowedReferences = [ ];", "allowedReferences"},
      {"allowedReferences = [ (x {0}) ];", ""},
      {"allowedReferences = [ \"out\" ];", "allowedReferences"},
      {"disallowedReferences = [ (x {0}) ];", "disallowedReferences"},
      {"disallowedReferences = [ (x {1}) ];", ""},
      {"allowedRequisites = [ (x {0}) ];", "allowedRequisites"},
      {"allowedRequisites = [ (x {0}) (x {1}) ];", ""},
      {"disallowedRequisites = [ (x {1}) ];", "disallowedRequisites"},
      {"__structuredAttrs = true; outputChecks.out.disallowedReferences = [ (x {0}) ];",
       "disallowedReferences"},
      {"__structuredAttrs = true; outputChecks.dev.disallowedReferences = [ (x {0}) ];", ""},
  }));
  CAPTURE(rule.rule);
  const PrivateStore store;
  const auto below = store.add("below", "content");
  const auto granted_drv = store.build(fmt::format(
      R"({{ name = "granted"; below = builtins.storePath "{}"; script = "echo $below > $out"; }})",
      store.layout().print(below)));
  const auto granted = store.output(granted_drv);
  REQUIRE(store.references(granted) == std::set{below});
  const std::string stated =
      fmt::format(fmt::runtime(rule.rule), fmt::format("\"{}\"", hidden(store, granted)),
                  fmt::format("\"{}\"", hidden(store, below)));
  const std::string script = fmt::format(
      "out=\\${{out:-\\$(/bin/sed -n "
      "'s,.*\\\"outputs\\\":{{\\\"out\\\":\\\"\\\\([^\\\"]*\\\\).*,\\\\1,p' .attrs.json)}}; "
      "echo {} > $out",
      hidden(store, granted));
  const auto derivation = store.build(
      fmt::format("let x = p: builtins.unsafeDiscardStringContext p; in {{ {} script = \"{}\"; }}",
                  stated, script));
  const auto out = store.output(derivation);
  store.owe(derivation, {granted});
  const auto settled = settle(store, derivation);
  REQUIRE(settled.has_value());
  CHECK(settled->outcome == Outcome::amended);
  CHECK_FALSE(store.owes(derivation));
  if (*rule.violated == '\0') {
    CHECK(settled->violation.empty());
    CHECK(store.references(out) == std::set{granted});
  } else {
    CHECK_THAT(settled->violation,
               Catch::Contains(rule.violated) && Catch::Contains("no longer valid"));
    CHECK_FALSE(store.is_valid(out));
  }
}

TEST_CASE("an output that breaks a rule and is referred to stays, amended") {
  NEED_PRIVATE_STORE();
  const PrivateStore store;
  const auto granted = store.add("granted", "content");
  const auto derivation = store.build(fmt::format(
      R"({{ allowedReferences = [ ]; script = "echo {} > $out"; }})", hidden(store, granted)));
  const auto out = store.output(derivation);
  const auto user = store.build(fmt::format(
      R"({{ name = "user"; outer = builtins.storePath "{}"; script = "echo $outer > $out"; }})",
      store.layout().print(out)));
  store.owe(derivation, {granted});
  const auto settled = settle(store, derivation);
  REQUIRE(settled.has_value());
  CHECK_THAT(settled->violation, Catch::Contains("the output stays"));
  CHECK(store.references(out) == std::set{granted});
  CHECK(store.is_valid(store.output(user)));
  CHECK(store.verifies());
}

TEST_CASE("siblings that refer to an output in violation go with it") {
  NEED_PRIVATE_STORE();
  const PrivateStore store;
  const auto granted = store.add("granted", "content");
  const auto derivation = store.build(fmt::format(
      R"({{ __structuredAttrs = true; outputs = [ "out" "mid" "lib" "doc" ]; outputChecks.lib.allowedReferences = [ ];
           script = ''p() {{ /bin/sed "s,.*\"$1\":\"\([^\"]*\).*,\1," .attrs.json; }};
             echo {} > $(p lib); p lib > $(p mid); p mid > $(p out); echo > $(p doc)''; }})",
      hidden(store, granted)));
  const auto outside = GENERATE(as<std::string>(), "", "lib", "out");
  CAPTURE(outside);
  if (!outside.empty())
    store.build(fmt::format(
        R"({{ name = "user"; used = builtins.storePath "{}"; script = "echo $used > $out"; }})",
        store.layout().print(store.output(derivation, outside))));
  store.owe(derivation, {granted});
  const auto settled = settle(store, derivation);
  REQUIRE(settled.has_value());
  CHECK_FALSE(store.owes(derivation));
  CHECK(store.is_valid(store.output(derivation, "doc")));
  for (const char* name : {"lib", "mid", "out"})
    CHECK(store.is_valid(store.output(derivation, name)) == !outside.empty());
  CHECK_THAT(settled->violation,
             Catch::Contains(outside.empty() ? "is no longer valid either" : "the output stays"));
  CHECK(store.verifies());
}

TEST_CASE("a fixed output that names a granted path is not kept") {
  NEED_PRIVATE_STORE();
  const PrivateStore store;
  const auto granted = store.add("granted", "content");
  const auto naming = GENERATE(true, false);
  const std::string content = naming ? hidden(store, granted) : "content";
  const auto derivation = store.build(fmt::format(
      R"({{ outputHashAlgo = "sha256"; outputHashMode = "flat"; outputHash = builtins.hashString "sha256" "{0}
";
           script = "echo {0} > $out"; }})",
      content));
  store.owe(derivation, {granted});
  const auto settled = settle(store, derivation);
  REQUIRE(settled.has_value());
  CHECK_FALSE(store.owes(derivation));
  CHECK(store.is_valid(store.output(derivation)) == !naming);
  if (naming)
    CHECK_THAT(settled->violation, Catch::Contains(store.layout().print(granted)) &&
                                       Catch::Contains("can have no references") &&
                                       Catch::Contains("no longer valid"));
  else
    CHECK(settled->violation.empty());
  CHECK(store.verifies());
}

}  // namespace
}  // namespace airlock
