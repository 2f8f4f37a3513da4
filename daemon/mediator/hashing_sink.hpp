#pragma once

#include <string_view>

#include "daemon/core/hash.hpp"
#include "daemon/core/stream.hpp"

namespace airlock {

/// Hashes what passes on its way, with SHA-256. Not thread-safe.
class HashingSink final : public Sink {
 public:
  explicit HashingSink(Sink& next) : next_(next) {}
  void write(std::string_view bytes) override {
    hash_.update(bytes);
    next_.write(bytes);
  }
  /// Once, when all has passed.
  [[nodiscard]] Hash finish() { return hash_.finish(); }

 private:
  Sink& next_;
  Sha256 hash_;
};

}  // namespace airlock
