#pragma once

#include <cstddef>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "daemon/core/stream.hpp"

namespace airlock::guest {

/// One store path that content may name, and what it becomes.
struct Replacement {
  std::string from;  ///< a hash part
  std::string to;    ///< of the same length
  /// The name after the hash would have to change as well, and with it the length: content that
  /// holds `from` cannot be rewritten.
  bool names_differ = false;
};
using Replacements = std::vector<Replacement>;

/// Replaces hash parts in a stream, also those that lie across two writes. Memory is constant. What
/// was put in is not looked at again. Not thread-safe.
class HashRewriter final : public Sink {
 public:
  HashRewriter(const Replacements& replacements, Sink& to) : replacements_(replacements), to_(to) {}
  void write(std::string_view bytes) override;
  /// What was held back: once, at the end.
  void finish();
  /// A replacement was found whose names differ; nullptr for none.
  [[nodiscard]] const Replacement* impossible() const { return impossible_; }

 private:
  const Replacements& replacements_;
  Sink& to_;
  std::string held_;
  const Replacement* impossible_ = nullptr;
};

}  // namespace airlock::guest
