// Uploads of every kind: what is left once one was read is what follows it.
#include "daemon/wire/upload.hpp"

#include "daemon/core/nar.hpp"
#include "tests/fuzz/fuzz.hpp"

using namespace airlock;

namespace {

constexpr std::uint64_t most = 32 * 1024;

void read_as_archive(wire::Upload& upload) {
  StringSink copy;
  NarLimits limits;
  limits.size = most;
  copy_nar(upload, copy, limits);
}

void read_in_pieces(wire::Upload& upload, std::size_t piece) {
  std::string buffer(piece, '\0');
  while (const auto n = upload.read_some(buffer)) fuzz::require(n <= piece, "a piece fits");
  fuzz::require(upload.read_some(buffer) == 0, "an end is an end");
}

}  // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  fuzz::Input input(data, size);
  const auto kind = static_cast<wire::Body>(1 + input.byte() % 3);
  const auto version = input.version();
  const auto way = input.byte();
  StringSource source(input.rest());
  wire::Reader from(source, fuzz::layout, fuzz::caps);
  StringSink asked;
  wire::Writer to(asked, fuzz::layout);
  const auto upload = wire::open_upload(kind, from, to, version);
  fuzz::require(upload->is_framed() == (kind == wire::Body::framed), "frames are frames");
  try {
    if (way % 4 == 1) read_as_archive(*upload);
    if (way % 4 >= 2 && upload->is_framed()) read_in_pieces(*upload, way);
    upload->drain(most);
    if (kind != wire::Body::tunnelled) fuzz::require(asked.text().empty(), "nothing is asked for");
    if (upload->is_framed()) {
      const auto read = input.rest().substr(0, input.rest().size() - source.rest().size());
      fuzz::require(read.ends_with(std::string_view("\0\0\0\0\0\0\0\0", 8)), "the last is empty");
    }
  } catch (const ConnectionOver&) {
    return 0;
  }
  return 0;
}
