// Derivation files, and what is read out of them.
#include "daemon/core/derivation.hpp"

#include "tests/fuzz/fuzz.hpp"

using namespace airlock;

namespace {

void look_at(const Derivation& derivation) {
  (void)derivation.kind();
  (void)derivation.references();
  for (const auto* name : {"__impure", "a", "__json"}) {
    (void)derivation.flag(name);
    (void)derivation.text(name);
    (void)derivation.list(name);
  }
  (void)derivation.requires_feature("airlock");
  for (const auto& [name, output] : derivation.outputs) {
    (void)output.content_address();
    (void)derivation.output_check(name, "allowedReferences");
    (void)derivation.discards_references(name);
  }
}

}  // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  fuzz::Input input(data, size);
  const auto name = std::string(input.text()) + ".drv";
  const auto text = input.rest();
  const auto parsed = Derivation::parse(fuzz::layout, text);
  const auto named = Derivation::parse_as(fuzz::layout, name, text);
  if (!parsed) {
    fuzz::require(parsed.error().find('\n') == std::string::npos, "an error is one line");
    fuzz::require(!named, "what does not parse does not parse under a name");
    return 0;
  }
  fuzz::require(parsed->unparse(fuzz::layout) == text, "only what Nix writes is parsed");
  fuzz::require(parsed->check().has_value(), "what was parsed passes the check");
  fuzz::require(!named || *named == *parsed, "a name changes nothing");
  look_at(*parsed);
  return 0;
}
