// Archives: what is copied is what came, to the byte.
#include "daemon/core/nar.hpp"

#include "tests/fuzz/fuzz.hpp"

using namespace airlock;

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  fuzz::Input input(data, size);
  NarLimits limits;
  limits.depth = 1 + input.byte() % 32;
  limits.size = 64ull << (input.byte() % 16);
  const std::size_t keep = input.byte();
  const auto bytes = input.rest();
  StringSource source(bytes);
  StringSink copy;
  try {
    const auto length = copy_nar(source, copy, limits);
    const auto read = bytes.substr(0, bytes.size() - source.rest().size());
    fuzz::require(length == read.size(), "the length is that of the archive");
    fuzz::require(copy.text() == read, "the copy is what was read");
    fuzz::require(length <= limits.size, "the limit is kept");
  } catch (const ConnectionOver&) {
    fuzz::require(bytes.starts_with(copy.text()), "what was written was read");
    return 0;
  }
  StringSource again(copy.text());
  StringSink second;
  std::optional<SingleFile> file;
  copy_nar(again, second, limits, keep, file);
  fuzz::require(second.text() == copy.text(), "a copy can be copied");
  fuzz::require(!file || file->content.size() <= keep, "no more is kept than was asked for");
  fuzz::require(!file || copy.text().find(file->content) != std::string::npos, "what is kept came");
  return 0;
}
