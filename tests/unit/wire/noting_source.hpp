#pragma once

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "daemon/core/stream.hpp"

namespace airlock::test {

/// Reads from memory, and writes down what a wire::Reader makes of it: numbers, and strings in
/// quotes. It sees only reads: a string is a number, a read of so many bytes in pieces, and a read
/// of the padding, which is made even when there is none.
class NotingSource final : public Source {
 public:
  explicit NotingSource(std::string_view bytes) : all_(bytes) {}

  void read(std::span<char> buffer) override {
    if (buffer.size() > left()) throw ConnectionOver("the recording ends too early");
    const auto piece = all_.substr(position_, buffer.size());
    piece.copy(buffer.data(), piece.size());
    position_ += piece.size();
    if (noting) reads_.push_back(piece);
  }

  /// What was read since it was last asked for, each after a space.
  std::string take_notes() {
    std::string notes;
    for (std::size_t i = 0; i < reads_.size();) {
      std::size_t after = i + 1;
      const auto text = string_at(i, after);
      notes += ' ' + (text.data() != nullptr ? quoted(text) : std::to_string(number(reads_[i])));
      i = after;
    }
    reads_.clear();
    return notes;
  }

  [[nodiscard]] std::size_t position() const { return position_; }
  [[nodiscard]] std::size_t left() const { return all_.size() - position_; }
  [[nodiscard]] std::string_view since(std::size_t begin) const {
    return all_.substr(begin, position_ - begin);
  }

  bool noting = true;

 private:
  static std::uint64_t number(std::string_view bytes) {
    std::uint64_t value = 0;
    for (std::size_t i = bytes.size(); i-- > 0;)
      value = value << 8 | static_cast<unsigned char>(bytes[i]);
    return value;
  }

  /// Without data when the reads from i on are not those of a string; else `after` is behind it.
  std::string_view string_at(std::size_t i, std::size_t& after) const {
    const auto length = number(reads_[i]);
    const char* const begin = reads_[i].data() + reads_[i].size();
    std::uint64_t have = 0;
    auto next = i + 1;
    while (have < length && next < reads_.size()) have += reads_[next++].size();
    if (have != length || next >= reads_.size() || reads_[next].size() != (8 - length % 8) % 8)
      return {};
    const std::string_view text(begin, length);
    // The number 8 and an empty string look like that, too.
    if (text == std::string_view("\0\0\0\0\0\0\0\0", 8)) return {};
    after = next + 1;
    return text;
  }

  static std::string quoted(std::string_view text) {
    std::string result = "\"";
    for (const char c : text) {
      const auto byte = static_cast<unsigned char>(c);
      if (c == '"' || c == '\\')
        result += std::string("\\") + c;
      else if (byte >= 0x20 && byte < 0x7f)
        result += c;
      else
        result += fmt::format("\\x{:02x}", byte);
    }
    return result + '"';
  }

  std::string_view all_;
  std::size_t position_ = 0;
  std::vector<std::string_view> reads_;
};

}  // namespace airlock::test
