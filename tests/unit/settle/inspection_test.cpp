#include "daemon/settle/inspection.hpp"

#include <catch2/catch.hpp>

namespace airlock {
namespace {

StorePath path(const std::string& name) {
  return StorePath::parse("0123456789abcdfghijklmnpqrsvwxyz-" + name).value();
}

const std::string base = "0123456789abcdfghijklmnpqrsvwxyz-a";

Outputs two_outputs() {
  return {{"out", path("outer")}, {"dev", path("outer-dev")}};
}

TEST_CASE("a report is read back") {
  Inspection inspection;
  inspection["out"].references = {path("a"), path("b")};
  inspection["out"].rules["allowedReferences"] = {path("a")};
  inspection["out"].rules["disallowedRequisites"] = {};
  inspection["dev"] = {};
  CHECK(decode(encode(inspection), two_outputs()).value() == inspection);
}

TEST_CASE("nothing reported means nothing found, of every output") {
  const auto inspection = decode("", two_outputs()).value();
  CHECK(inspection.size() == 2);
  CHECK(inspection.at("dev").references.empty());
}

TEST_CASE("a report that is not encode's is refused") {
  const auto line = GENERATE_COPY(values<std::string>({
      "found out " + base,  // no line end
      "found other " + base + "\n",
      "found out ../etc/passwd\n",
      "found out /nix/store/" + base + "\n",
      "found out " + base + " more\n",
      "found out\n",
      "\n",
      "rule out noSuchRule\n",
      "rule out allowedReferences more\n",
      "spec out allowedReferences " + base + "\n",  // before its rule
      "rule out allowedReferences\nspec out allowedReferences x\n",
      "lost out " + base + "\n",
  }));
  CAPTURE(line);
  const auto inspection = decode(line, two_outputs());
  REQUIRE_FALSE(inspection.has_value());
  CHECK_THAT(inspection.error(), Catch::StartsWith("the inspecting process reported "));
}

}  // namespace
}  // namespace airlock
