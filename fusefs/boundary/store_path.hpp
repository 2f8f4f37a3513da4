#pragma once

#include <compare>
#include <string>
#include <string_view>
#include <tl/expected.hpp>

namespace airlock {

/// The base name of a store path, "<32 nix32 digits>-<name>", checked when it was made.
///
/// It never holds a slash, is never "." or "..", and is at most 32 + 1 + 211 bytes long (Nix's own
/// limit), so it can be joined to a directory descriptor without a further check. The store folder
/// is not part of it: see StoreLayout. A value type; safe to share between threads when not
/// written.
class StorePath {
 public:
  /// Parses a base name. The error is one sentence that says what is wrong with it.
  [[nodiscard]] static tl::expected<StorePath, std::string> parse(std::string_view base);

  [[nodiscard]] const std::string& base() const { return base_; }
  [[nodiscard]] std::string_view hash_part() const { return std::string_view(base_).substr(0, 32); }
  [[nodiscard]] std::string_view name() const { return std::string_view(base_).substr(33); }
  [[nodiscard]] bool is_derivation() const { return base_.ends_with(".drv"); }

  auto operator<=>(const StorePath&) const = default;

 private:
  explicit StorePath(std::string base) : base_(std::move(base)) {}
  std::string base_;
};

}  // namespace airlock
