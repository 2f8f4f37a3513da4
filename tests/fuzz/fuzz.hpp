#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>

#include "daemon/core/store_layout.hpp"
#include "daemon/core/stream.hpp"
#include "daemon/wire/codec.hpp"

/// Each file beside this one that has LLVMFuzzerTestOneInput is a target: it is given any bytes and
/// must neither crash nor break what it requires. See scripts/fuzz.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

namespace airlock::fuzz {

inline void require(bool holds, const char* what) {
  if (holds) return;
  std::fprintf(stderr, "fuzzing found: not true that %s\n", what);
  std::abort();
}

/// What the target is given: choices first, a byte each, then the bytes to be decoded.
class Input {
 public:
  Input(const std::uint8_t* data, std::size_t size)
      : rest_(reinterpret_cast<const char*>(data), size) {}
  std::uint8_t byte() {
    if (rest_.empty()) return 0;
    const auto value = static_cast<std::uint8_t>(rest_.front());
    rest_.remove_prefix(1);
    return value;
  }
  /// One of those from `first` to the newest.
  wire::Version version(wire::Version first = wire::oldest) {
    const unsigned count = wire::newest.minor - first.minor + 1u;
    return {1, static_cast<std::uint8_t>(first.minor + byte() % count)};
  }
  /// Up to and without the next NUL.
  std::string_view text() {
    const auto text = rest_.substr(0, rest_.find('\0'));
    rest_.remove_prefix(std::min(rest_.size(), text.size() + 1));
    return text;
  }
  [[nodiscard]] std::string_view rest() const { return rest_; }

 private:
  std::string_view rest_;
};

inline const StoreLayout layout;
/// Small, so that the limits are met too.
inline constexpr wire::Caps caps{64 * 1024, 4096};

/// Re-encoding what was decoded gives the same bytes, or where the reader says that they were not
/// in Nix's own form, bytes that are. False when the bytes were refused.
template <class Decode, class Encode>
bool round_trip(std::string_view bytes, const Decode& decode, const Encode& encode) {
  const auto written = [&](const auto& value) {
    StringSink sink;
    wire::Writer to(sink, layout);
    encode(to, value);
    return sink.text();
  };
  std::string first;
  try {
    StringSource source(bytes);
    wire::Reader from(source, layout, caps);
    first = written(decode(from));
    const auto read = bytes.substr(0, bytes.size() - source.rest().size());
    require(!from.canonical() || first == read, "canonical bytes are encoded as they were");
  } catch (const ConnectionOver&) {
    return false;
  }
  try {
    StringSource source(first);
    wire::Reader from(source, layout, caps);
    const auto again = decode(from);
    require(source.rest().empty(), "what was encoded is decoded to its end");
    require(from.canonical(), "what was encoded is canonical");
    require(written(again) == first, "what was encoded is encoded so again");
  } catch (const ConnectionOver& over) {
    std::fprintf(stderr, "%s\n", over.what());
    require(false, "what was encoded can be decoded");
  }
  return true;
}

}  // namespace airlock::fuzz
