#pragma once

#include <cstdint>
#include <functional>
#include <set>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "daemon/core/stream.hpp"
#include "fusefs/boundary/store_path.hpp"

namespace airlock {

/// Finds which of some store paths a stream of bytes mentions, by their 32-digit hash parts, as
/// Nix scans outputs. A hash part that lies across two writes is found. Memory depends on the
/// candidates alone. Not thread-safe.
class ReferenceScan final : public Sink {
 public:
  explicit ReferenceScan(const std::set<StorePath>& candidates);
  void write(std::string_view bytes) override;
  [[nodiscard]] const std::set<StorePath>& found() const { return found_; }

 private:
  struct TextHash {
    using is_transparent = void;
    std::size_t operator()(std::string_view text) const {
      return std::hash<std::string_view>{}(text);
    }
  };

  void scan(std::string_view bytes);
  void look_up(std::string_view hash_part);

  /// By hash part: those not found yet.
  std::unordered_multimap<std::string, StorePath, TextHash, std::equal_to<>> wanted_;
  /// One bit for each value of a short hash of a hash part: whether any candidate's has it. Spares
  /// most of the look-ups in content that consists of base 32 digits, such as hexadecimal dumps.
  std::vector<std::uint64_t> filter_;
  std::set<StorePath> found_;
  std::string tail_;  ///< the last 31 bytes at most
};

}  // namespace airlock
