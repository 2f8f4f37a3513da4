// Store paths, as base names and in full.
#include "fusefs/boundary/store_path.hpp"

#include "tests/fuzz/fuzz.hpp"

using namespace airlock;

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto text = fuzz::Input(data, size).rest();
  if (const auto path = StorePath::parse(text)) {
    fuzz::require(path->base() == text, "a base name stays what it is");
    fuzz::require(text.find_first_of(std::string_view("/\0\n", 3)) == std::string_view::npos &&
                      text != "." && text != ".." && text.size() <= 255,
                  "a base name can be a file's name");
    fuzz::require(std::string(path->hash_part()) + "-" + std::string(path->name()) == text,
                  "a path is its parts");
    fuzz::require(fuzz::layout.parse(fuzz::layout.print(*path)) == path, "it is found in full");
  }
  const auto full = fuzz::layout.parse(text);
  if (full) fuzz::require(fuzz::layout.print(*full) == text, "a full path stays what it is");
  if (!full) fuzz::require(full.error().find('\n') == std::string::npos, "an error is one line");
  return 0;
}
