#include "daemon/core/reference_scan.hpp"

#include <array>
#include <cstring>

#include "daemon/core/hash.hpp"

namespace airlock {
namespace {

constexpr std::size_t hash_length = 32;
constexpr unsigned filter_bits = 18;

constexpr std::array<bool, 256> is_digit = [] {
  std::array<bool, 256> table{};
  for (std::size_t i = 0; i < table.size(); ++i) table[i] = is_nix32_digit(static_cast<char>(i));
  return table;
}();

/// The filter's bit for a hash part: eight of its digits, mixed by a multiplication.
std::size_t filter_bit(const char* hash_part) {
  std::uint64_t digits = 0;
  std::memcpy(&digits, hash_part, sizeof digits);
  return digits * 0x9e3779b97f4a7c15U >> (64 - filter_bits);
}

}  // namespace

ReferenceScan::ReferenceScan(const std::set<StorePath>& candidates)
    : filter_((std::size_t{1} << filter_bits) / 64) {
  wanted_.reserve(candidates.size());
  for (const auto& path : candidates) {
    wanted_.emplace(path.hash_part(), path);
    const auto bit = filter_bit(path.hash_part().data());
    filter_[bit / 64] |= std::uint64_t{1} << bit % 64;
  }
}

void ReferenceScan::write(std::string_view bytes) {
  constexpr auto overlap = hash_length - 1;
  if (wanted_.empty()) return;
  // What begins in the tail ends within the next 31 bytes; the rest lies in `bytes` alone.
  tail_.append(bytes.substr(0, overlap));
  scan(tail_);
  if (bytes.size() >= overlap) {
    scan(bytes);
    tail_ = bytes.substr(bytes.size() - overlap);
  } else if (tail_.size() > overlap) {
    tail_.erase(0, tail_.size() - overlap);
  }
}

// A window of 32 bytes is read from its end: a byte that is no digit rules out every window that
// holds it. What is known to be digits is not read again, so each byte is read at most once.
void ReferenceScan::scan(std::string_view bytes) {
  std::size_t start = 0;
  std::size_t known = 0;  // the bytes from start up to here are digits
  while (start + hash_length <= bytes.size()) {
    const std::size_t window_end = start + hash_length;
    std::size_t end = window_end;
    while (end > known && is_digit[static_cast<unsigned char>(bytes[end - 1])]) --end;
    if (end > known) {
      start = end;
    } else {
      look_up(bytes.substr(start, hash_length));
      ++start;
    }
    known = window_end;
  }
}

void ReferenceScan::look_up(std::string_view hash_part) {
  const auto bit = filter_bit(hash_part.data());
  if ((filter_[bit / 64] >> bit % 64 & 1) == 0) return;
  const auto [first, last] = wanted_.equal_range(hash_part);
  for (auto each = first; each != last; ++each) found_.insert(each->second);
  wanted_.erase(first, last);
}

}  // namespace airlock
