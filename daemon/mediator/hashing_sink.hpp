#pragma once

#include <string_view>

#include "daemon/core/hash.hpp"
#include "daemon/core/stream.hpp"

namespace airlock {

/// Hashes what passes on its way. Not thread-safe.
class HashingSink final : public Sink {
 public:
  /// The algorithm must be one that Hasher computes.
  explicit HashingSink(Sink& next, HashAlgorithm algorithm = HashAlgorithm::sha256)
      : next_(next), hash_(algorithm) {}
  void write(std::string_view bytes) override {
    hash_.update(bytes);
    next_.write(bytes);
  }
  /// Once, when all has passed.
  [[nodiscard]] Hash finish() { return hash_.finish(); }

 private:
  Sink& next_;
  Hasher hash_;
};

}  // namespace airlock
