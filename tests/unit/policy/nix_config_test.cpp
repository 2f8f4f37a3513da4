// airlockNixConfig in its forms, and what it may not say.
#include "daemon/policy/nix_config.hpp"

#include <fmt/format.h>

#include <catch2/catch.hpp>

using namespace airlock;
using policy::nix_config_of;
using policy::NixSettings;

namespace {

Derivation plain(const std::string& text) {
  Derivation derivation;
  derivation.environment["airlockNixConfig"] = text;
  return derivation;
}

Derivation structured(const std::string& json) {
  Derivation derivation;
  derivation.environment["__json"] = R"({"airlockNixConfig":)" + json + "}";
  return derivation;
}

const NixSettings two{{"cores", "3"}, {"experimental-features", "nix-command flakes"}};

}  // namespace

TEST_CASE("every form of airlockNixConfig says the same") {
  CHECK(nix_config_of(Derivation{}) == NixSettings{});
  CHECK(nix_config_of(plain("")) == NixSettings{});
  const std::string lines =
      "cores = 3\n\n  # why not\n experimental-features=nix-command flakes \n";
  CHECK(nix_config_of(plain(lines)) == two);
  CHECK(nix_config_of(structured(
            R"({"experimental-features": ["nix-command", "flakes"], "cores": 3})")) == two);
  CHECK(nix_config_of(
            structured(R"(["cores = 3", "experimental-features = nix-command flakes"])")) == two);
  CHECK(nix_config_of(structured(R"("cores = 3")")) == NixSettings{{"cores", "3"}});
  CHECK(nix_config_of(structured(R"({"pure-eval": true})")) == NixSettings{{"pure-eval", "true"}});
}

TEST_CASE("what airlockNixConfig may not say is refused in one sentence") {
  const auto refusal = [](const Derivation& derivation) {
    const auto settings = nix_config_of(derivation);
    REQUIRE_FALSE(settings);
    CHECK(settings.error().find('\n') == std::string::npos);
    return settings.error();
  };
  using Catch::Contains;
  CHECK_THAT(refusal(plain("cores")), Contains("'cores' is not of the form name = value"));
  CHECK_THAT(refusal(plain("include /etc/passwd")), Contains("write the settings themselves"));
  CHECK_THAT(refusal(plain("!include x = y")), Contains("write the settings themselves"));
  CHECK_THAT(refusal(plain("include = x")), Contains("write the settings themselves"));
  CHECK_THAT(refusal(plain("Cores = 3")), Contains("'Cores' is not the name of a setting"));
  CHECK_THAT(refusal(plain("cores = 3\ncores = 4")), Contains("'cores' is set twice"));
  CHECK_THAT(refusal(plain("a = x # y")), Contains("the value of 'a'"));
  for (const auto* kept : {"store", "substituters", "extra-substituters", "build-users-group",
                           "trusted-substituters", "flake-registry"})
    CHECK_THAT(refusal(plain(std::string(kept) + " = x")), Contains("the airlock's to set"));
  CHECK_THAT(refusal(structured(R"({"a": {"b": 1}})")), Contains("neither lines"));
  CHECK_THAT(refusal(structured(R"({"a": "x\ny"})")), Contains("the value of 'a'"));
  CHECK_THAT(refusal(structured("17")), Contains("neither lines"));
  std::string many;
  for (int i = 0; i < 129; ++i) many += fmt::format("a{} = x\n", i);
  CHECK_THAT(refusal(plain(many)), Contains("more than 128 settings"));
  many.clear();
  for (int i = 0; i < 5; ++i) many += fmt::format("a{} = {:x<4000}\n", i, "");
  CHECK_THAT(refusal(plain(many)), Contains("16384 bytes"));
}
