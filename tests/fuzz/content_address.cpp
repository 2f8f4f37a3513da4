// Hashes, content addresses, methods of adding, and the paths that follow from them.
#include "daemon/core/content_address.hpp"

#include "tests/fuzz/fuzz.hpp"

using namespace airlock;

namespace {

void hash(std::string_view text) {
  const auto hash = Hash::parse(text);
  if (!hash) return;
  fuzz::require(hash->digest.size() == size_of(hash->algorithm), "a digest has its length");
  fuzz::require(Hash::parse(hash->algorithm, hash->base16()) == hash, "base16 is read back");
  fuzz::require(Hash::parse(hash->algorithm, hash->nix32()) == hash, "nix32 is read back");
}

void nix32(std::string_view text) {
  const auto bytes = from_nix32(text);
  if (bytes) fuzz::require(to_nix32(*bytes) == text, "only what to_nix32 makes is read");
}

}  // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  fuzz::Input input(data, size);
  const auto name = input.text();
  const auto text = input.rest();
  hash(text);
  nix32(text);
  if (const auto method = AddMethod::parse(text))
    fuzz::require(method->print() == text, "a method stays what it is");
  const auto address = ContentAddress::parse(text);
  if (!address) return 0;
  const auto printed = address->print();
  const auto again = ContentAddress::parse(printed);
  fuzz::require(again.has_value() && again->print() == printed, "an address is printed one way");
  const auto path = path_of(fuzz::layout, name, *address, {});
  if (path) fuzz::require(path->name() == name, "a path has the name it was made with");
  if (path) fuzz::require(path == path_of(fuzz::layout, name, *again, {}), "one address, one path");
  return 0;
}
