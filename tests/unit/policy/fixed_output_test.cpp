#include "daemon/policy/fixed_output.hpp"

#include <catch2/catch.hpp>

namespace airlock::policy {
namespace {

constexpr auto open = FixedOutputPolicy::open;
constexpr auto sealed = FixedOutputPolicy::sealed;
constexpr auto closed = FixedOutputPolicy::closed;

Derivation saying(const std::string& word) {
  Derivation derivation;
  derivation.environment["airlockFixedOutput"] = word;
  return derivation;
}

Derivation structured(const std::string& json) {
  Derivation derivation;
  derivation.environment["__json"] = json;
  derivation.environment["airlockFixedOutput"] = "not looked at";
  return derivation;
}

TEST_CASE("a derivation can make the policy for fixed outputs tighter, never looser") {
  struct Row {
    FixedOutputPolicy configured;
    const char* word;
    FixedOutputPolicy result;
  };
  const auto row = GENERATE(values<Row>({
      {open, "open", open},
      {open, "sealed", sealed},
      {open, "closed", closed},
      {sealed, "open", sealed},
      {sealed, "sealed", sealed},
      {sealed, "closed", closed},
      {closed, "open", closed},
      {closed, "sealed", closed},
      {closed, "closed", closed},
  }));
  CAPTURE(row.word);
  CHECK(fixed_output_of(saying(row.word), row.configured) == row.result);
  const auto json = std::string(R"({"airlockFixedOutput": ")") + row.word + R"("})";
  CHECK(fixed_output_of(structured(json), row.configured) == row.result);
}

TEST_CASE("a derivation that says nothing of fixed outputs leaves the policy as configured") {
  for (const auto configured : {open, sealed, closed}) {
    CHECK(fixed_output_of(Derivation{}, configured) == configured);
    CHECK(fixed_output_of(structured("{}"), configured) == configured);
  }
}

TEST_CASE("a policy for fixed outputs that is none is an error, also where it cannot loosen") {
  for (const auto& derivation : {saying(""), saying("shut"), saying("Closed"), saying("closed "),
                                 structured(R"({"airlockFixedOutput": true})"),
                                 structured(R"({"airlockFixedOutput": ["closed"]})")})
    for (const auto configured : {open, sealed, closed}) {
      const auto policy = fixed_output_of(derivation, configured);
      REQUIRE_FALSE(policy);
      CHECK_THAT(policy.error(), Catch::Contains("airlockFixedOutput must be"));
    }
}

}  // namespace
}  // namespace airlock::policy
