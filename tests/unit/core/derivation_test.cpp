#include "daemon/core/derivation.hpp"

#include <rapidcheck/catch.h>

#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>
#include <iterator>

using namespace airlock;
namespace fs = std::filesystem;

namespace {

const StoreLayout layout;
constexpr auto deps = "/nix/store/7vjf22s4q601ryrg8k69drq4sg2qx6dp-deps";

std::map<std::string, std::string> written_by_nix() {
  std::map<std::string, std::string> texts;
  for (const auto& entry : fs::directory_iterator(fs::path(AIRLOCK_TEST_DATA) / "drv")) {
    std::ifstream file(entry.path(), std::ios::binary);
    texts[entry.path().filename().string()] = {std::istreambuf_iterator<char>(file), {}};
  }
  REQUIRE(texts.size() == 12);
  return texts;
}

Derivation derivation(std::string_view name) {
  for (const auto& [base, text] : written_by_nix()) {
    if (base.substr(33) == name) return Derivation::parse(layout, text).value();
  }
  FAIL("there is no derivation " << name);
  return {};
}

bool refused(const std::string& text) {
  return !Derivation::parse(layout, text).has_value();
}

struct Parts {
  std::string outputs = R"(("out","/nix/store/7vjf22s4q601ryrg8k69drq4sg2qx6dp-x","",""))";
  std::string input_derivations = {};
  std::string input_sources = {};
  std::string platform = R"("x86_64-linux")";
  std::string environment = {};
  [[nodiscard]] std::string text() const {
    return "Derive([" + outputs + "],[" + input_derivations + "],[" + input_sources + "]," +
           platform + R"(,"/bin/sh",[],[)" + environment + "])";
  }
};

std::string output(const std::string& name, const std::string& path, const std::string& algorithm,
                   const std::string& hash) {
  return "(\"" + name + "\",\"" + path + "\",\"" + algorithm + "\",\"" + hash + "\")";
}

Derivation with_json(const std::string& json) {
  Derivation result;
  result.outputs["out"] = {};
  result.environment["__json"] = json;
  result.environment["flag"] = "1";
  result.environment["list"] = "a b";
  return result;
}

}  // namespace

TEST_CASE("what Nix wrote is parsed and written the same") {
  for (const auto& [base, text] : written_by_nix()) {
    INFO(base);
    const auto parsed = Derivation::parse(layout, text);
    REQUIRE(parsed);
    CHECK(parsed->unparse(layout) == text);
    CHECK(parsed->check());
  }
}

TEST_CASE("a derivation's own path follows from its text and references") {
  for (const auto& [base, text] : written_by_nix()) {
    const auto parsed = Derivation::parse(layout, text);
    REQUIRE(parsed);
    const auto path = path_of(layout, base.substr(33), {IngestionMethod::text, sha256(text)},
                              {parsed->references(), false});
    REQUIRE(path);
    CHECK(path->base() == base);
  }
}

TEST_CASE("a fixed output's path follows from its hash") {
  std::size_t fixed = 0;
  for (const auto& [base, text] : written_by_nix()) {
    const auto parsed = Derivation::parse(layout, text);
    REQUIRE(parsed);
    const auto& [name, out] = *parsed->outputs.begin();
    const auto address = out.content_address();
    CHECK(address.has_value() == (parsed->kind() == DerivationKind::fixed_output));
    if (!address) continue;
    ++fixed;
    const auto drv_name = base.substr(33, base.size() - 33 - 4);
    CHECK(path_of(layout, drv_name, *address, {}).value() == out.path);
  }
  CHECK(fixed == 4);
}

TEST_CASE("kinds") {
  CHECK(derivation("lib-1.0.drv").kind() == DerivationKind::input_addressed);
  CHECK(derivation("source.drv").kind() == DerivationKind::fixed_output);
  CHECK(derivation("floating.drv").kind() == DerivationKind::floating);
  CHECK(derivation("deferred.drv").kind() == DerivationKind::deferred);
  CHECK(derivation("impure.drv").kind() == DerivationKind::impure);
}

TEST_CASE("escapes, inputs and attributes as Nix meant them") {
  const auto escapes = derivation("escapes.drv");
  CHECK(escapes.arguments ==
        std::vector<std::string>{"-c", "echo \"quoted\" \\ back\nline\ttab\rreturn ${x}", ""});
  CHECK(escapes.environment.at("odd") == "\\n is not a newline");
  CHECK(escapes.environment.at("utf8") == "grüße ✓");

  const auto inputs = derivation("inputs.drv");
  CHECK(inputs.input_derivations.begin()->second == std::set<std::string>{"dev", "out"});
  CHECK(inputs.references().size() == 2);
  CHECK(inputs.flag("__noChroot"));
  CHECK_FALSE(inputs.flag("absent"));
  CHECK_FALSE(inputs.flag("name"));
  CHECK(inputs.requires_feature("kvm"));
  CHECK_FALSE(inputs.requires_feature("kv"));
  CHECK(inputs.text("name") == "inputs");
  CHECK(inputs.text("absent") == std::nullopt);
  CHECK(inputs.output_check("out", "allowedReferences") == std::vector<std::string>{"out"});
  CHECK_FALSE(inputs.discards_references("out"));
}

TEST_CASE("structured attributes take the environment's place") {
  const auto structured = derivation("structured.drv");
  CHECK(structured.requires_feature("airlock"));
  CHECK(structured.flag("preferLocalBuild"));
  CHECK(structured.text("note") == "a \"b\"\n");
  CHECK(structured.output_check("out", "allowedReferences") == std::vector<std::string>{"dev"});
  CHECK(structured.output_check("out", "disallowedRequisites") == std::vector<std::string>{});
  CHECK(structured.output_check("dev", "allowedReferences") == std::nullopt);
  CHECK(structured.discards_references("dev"));
  CHECK_FALSE(structured.discards_references("out"));

  const auto odd = with_json(R"({"flag":"1","list":["a",1],"text":["x"],"outputChecks":[]})");
  CHECK_FALSE(odd.flag("flag"));
  CHECK(odd.list("list") == std::nullopt);
  CHECK(odd.text("text") == std::nullopt);
  CHECK(odd.output_check("out", "allowedReferences") == std::nullopt);
  CHECK(odd.check());
}

TEST_CASE("hostile structured attributes") {
  const std::string deep(200000, '[');
  for (const std::string& json :
       {std::string(), std::string("{"), std::string("[]"), std::string("1"), deep,
        deep + std::string(200000, ']'), std::string("{\"a\":\"\xff\"}"), std::string("{}x")}) {
    const auto hostile = with_json(json);
    CHECK_FALSE(hostile.check());
    CHECK_FALSE(hostile.flag("flag"));
    CHECK(hostile.list("list") == std::nullopt);
  }
  CHECK(with_json("{\"a\":" + deep + std::string(200000, ']') + "}").check());
}

TEST_CASE("a list in the environment is split at white space") {
  Derivation plain;
  plain.environment["list"] = "  a\tb\n\nc\r ";
  plain.environment["blank"] = " \n";
  CHECK(plain.list("list") == std::vector<std::string>{"a", "b", "c"});
  CHECK(plain.list("blank") == std::vector<std::string>{});
  CHECK(plain.list("absent") == std::nullopt);
}

TEST_CASE("only Nix's own form is a derivation") {
  REQUIRE_FALSE(refused(Parts{}.text()));
  CHECK(refused(""));
  CHECK(refused(Parts{}.text() + "\n"));
  CHECK(refused(" " + Parts{}.text()));
  CHECK(refused(R"(DrvWithVersion("xp-dyn-drv",[],[],[],"","",[],[]))"));

  const auto environment = [](const std::string& text) {
    return Parts{.environment = text}.text();
  };
  CHECK_FALSE(refused(environment(R"(("a","1"),("b",""))")));
  CHECK(refused(environment(R"(("b",""),("a",""))")));    // out of order
  CHECK(refused(environment(R"(("a","1"),("a","2"))")));  // twice: Nix would keep the last
  CHECK(refused(environment(R"(("a","\x"))")));           // Nix would read x
  CHECK(refused(environment("(\"a\",\"\n\")")));          // Nix would write \n
  CHECK(refused(environment(R"(("a","1"),)")));
  CHECK(refused(environment(R"(,("a","1"))")));
  CHECK(refused(environment(R"(("a","1")("b","2"))")));
  CHECK(refused(environment(R"(("a", "1"))")));
  CHECK(refused(environment(R"(("__json","[]"))")));

  CHECK(refused(Parts{.platform = R"("a\"b")"}.text()));
  const std::string source = "\"" + std::string(deps) + "\"";
  CHECK_FALSE(refused(Parts{.input_sources = source}.text()));
  CHECK(refused(Parts{.input_sources = source + "," + source}.text()));
  CHECK(refused(Parts{.input_sources = R"("/etc/passwd")"}.text()));
  CHECK(refused(Parts{.input_sources = "\"" + std::string(deps) + "/x\""}.text()));
  CHECK(refused(Parts{.input_sources = R"("")"}.text()));
  CHECK(refused(Parts{.input_derivations = "(" + source + R"(,["out"]))"}.text()));
  const std::string input = "(\"" + std::string(deps) + ".drv\",[";
  CHECK_FALSE(refused(Parts{.input_derivations = input + R"("dev","out"]))"}.text()));
  CHECK(refused(Parts{.input_derivations = input + R"("out","dev"]))"}.text()));
  CHECK(refused(Parts{.input_derivations = input + R"("out!x"]))"}.text()));
}

TEST_CASE("outputs that Nix would refuse, trip over or read in two ways") {
  const auto outputs = [](const std::string& text) { return Parts{.outputs = text}.text(); };
  const std::string hash(64, '0');
  const std::string fixed = output("out", deps, "sha256", hash);
  CHECK_FALSE(refused(outputs(fixed)));
  CHECK_FALSE(refused(outputs(output("out", deps, "git:sha1", std::string(40, 'a')))));
  CHECK_FALSE(refused(outputs(output("a", "", "", "") + "," + output("b", "", "", ""))));
  CHECK(refused(outputs("")));
  CHECK(refused(outputs(output("", deps, "", ""))));
  CHECK(refused(outputs(output("*", deps, "", ""))));
  CHECK(refused(outputs(output("a,b", deps, "", ""))));
  CHECK(refused(outputs(output("out", deps, "", hash))));
  CHECK(refused(outputs(output("out", deps, "sha256", ""))));  // a path before it is built
  CHECK(refused(outputs(output("out", deps, "sha256", "impure"))));
  CHECK(refused(outputs(output("out", "", "sha256", hash))));
  CHECK(refused(outputs(output("dev", deps, "sha256", hash))));
  CHECK(refused(outputs(fixed + "," + output("two", deps, "sha256", hash))));
  CHECK(refused(outputs(output("out", deps, "sha256", std::string(64, 'A')))));
  CHECK(refused(outputs(output("out", deps, "sha256", std::string(52, '0')))));
  CHECK(refused(outputs(output("out", deps, "sha3", hash))));
  CHECK(refused(outputs(output("out", deps, "fixed:sha256", hash))));
  CHECK(refused(outputs(output("out", deps, "text:sha1", std::string(40, '0')))));
  CHECK(refused(outputs(output("a", "", "", "") + "," + output("b", deps, "", ""))));
  CHECK(refused(outputs(output("a", "", "r:sha256", "") + "," + output("b", "", "sha1", ""))));
  CHECK(refused(outputs(output("b", deps, "", "") + "," + output("a", deps, "", ""))));
}

TEST_CASE("unparse and parse undo each other") {
  rc::prop("for any environment, arguments and builder", [] {
    Derivation made;
    made.outputs["out"] = {StorePath::parse("7vjf22s4q601ryrg8k69drq4sg2qx6dp-x").value(), "", ""};
    made.platform = "x86_64-linux";
    made.builder = *rc::gen::arbitrary<std::string>();
    made.arguments = *rc::gen::arbitrary<std::vector<std::string>>();
    made.environment = *rc::gen::arbitrary<std::map<std::string, std::string>>();
    const auto parsed = Derivation::parse(layout, made.unparse(layout));
    RC_ASSERT(parsed.has_value());
    RC_ASSERT(*parsed == made);
  });
}

TEST_CASE("what is parsed is what would be written, whatever the text") {
  for (const auto& [base, text] : written_by_nix()) {
    for (std::size_t size = 0; size < text.size(); ++size) REQUIRE(refused(text.substr(0, size)));
    for (std::size_t at = 0; at < text.size(); ++at) {
      for (const char c : std::string("\"\\,()[]anr0-\n") + '\0') {
        auto mutated = text;
        mutated[at] = c;
        const auto parsed = Derivation::parse(layout, mutated);
        if (parsed) REQUIRE(parsed->unparse(layout) == mutated);
      }
    }
  }
}

TEST_CASE("a fixed output states the path that its hash gives, or is refused") {
  Derivation derivation;
  derivation.platform = "x";
  derivation.builder = "/bin/sh";
  const std::string digits(64, '0');
  const ContentAddress address{IngestionMethod::flat, Hash::parse("sha256:" + digits).value()};
  const auto honest = path_of(layout, "fetched", address, {}).value();
  derivation.outputs["out"] = {honest, "sha256", digits};
  CHECK(Derivation::parse_as(layout, "fetched.drv", derivation.unparse(layout)).has_value());
  CHECK_FALSE(Derivation::parse_as(layout, "other.drv", derivation.unparse(layout)).has_value());
  CHECK_FALSE(Derivation::parse_as(layout, "fetched", derivation.unparse(layout)).has_value());
  const auto elsewhere = StorePath::parse(std::string(32, '0') + "-secret").value();
  derivation.outputs["out"] = {elsewhere, "sha256", digits};
  CHECK_FALSE(Derivation::parse_as(layout, "fetched.drv", derivation.unparse(layout)).has_value());
}
