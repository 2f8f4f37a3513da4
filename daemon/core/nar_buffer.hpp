#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "daemon/core/stream.hpp"

namespace airlock {

/// A NAR is a sequence of strings: length (u64, little-endian), bytes, zeros up to a multiple of 8.
inline constexpr std::string_view nar_magic = "nix-archive-1";
[[nodiscard]] constexpr std::size_t nar_padding(std::uint64_t size) {
  return (8 - size % 8) % 8;
}

/// Gathers an archive's many short strings into long writes.
class NarBuffer {
 public:
  static constexpr std::size_t capacity = 64 * 1024;

  explicit NarBuffer(Sink& sink) : sink_(sink), bytes_(capacity) {}

  /// Room for `wanted` bytes, but never for more than capacity. What earlier calls gave out is no
  /// longer valid.
  [[nodiscard]] std::span<char> room(std::size_t wanted) {
    if (wanted > capacity - used_) flush();
    return std::span(bytes_).subspan(used_, std::min(wanted, capacity));
  }
  /// The first n bytes of the last room are part of the archive now.
  void commit(std::size_t n) { used_ += n; }

  void flush() {
    if (used_ > 0) sink_.write({bytes_.data(), used_});
    used_ = 0;
  }

 private:
  Sink& sink_;
  std::vector<char> bytes_;
  std::size_t used_ = 0;
};

}  // namespace airlock
