#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "daemon/core/store_layout.hpp"

namespace airlock {

/// Reads the terms of a .drv file one after the other. The first fault is kept, and from then on
/// there is nothing more to read: callers check it once, at the end.
class DerivationReader {
 public:
  DerivationReader(const StoreLayout& layout, std::string_view text)
      : layout_(layout), text_(text), rest_(text) {}

  void expect(std::string_view literal);
  [[nodiscard]] std::string string();  ///< with escapes
  [[nodiscard]] std::string plain();   ///< one that Nix writes without escaping
  [[nodiscard]] std::optional<StorePath> path();
  [[nodiscard]] std::optional<StorePath> path_or_empty();

  /// "[" item "," item … "]"
  template <typename Item>
  void list(Item read_item) {
    expect("[");
    if (accept("]")) return;
    do {
      read_item();
    } while (accept(","));
    expect("]");
  }

  void end();
  void fail(std::string sentence);
  [[nodiscard]] bool failed() const { return error_.has_value(); }
  /// Call once, after a fault.
  [[nodiscard]] std::string error() { return *std::move(error_); }

 private:
  bool accept(std::string_view literal);
  [[nodiscard]] std::optional<StorePath> parse_path(std::string_view text);

  const StoreLayout& layout_;
  std::string_view text_;
  std::string_view rest_;
  std::optional<std::string> error_;
};

}  // namespace airlock
