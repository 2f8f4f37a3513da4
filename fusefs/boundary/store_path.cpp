#include "fusefs/boundary/store_path.hpp"

#include <algorithm>

namespace airlock {
namespace {

constexpr std::size_t hash_length = 32;
constexpr std::size_t max_name_length = 211;

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}
bool is_lower(char c) {
  return c >= 'a' && c <= 'z';
}
bool is_upper(char c) {
  return c >= 'A' && c <= 'Z';
}

bool is_hash_digit(char c) {
  return is_digit(c) || (is_lower(c) && c != 'e' && c != 'o' && c != 'u' && c != 't');
}

bool is_name_character(char c) {
  return is_digit(c) || is_lower(c) || is_upper(c) || c == '+' || c == '-' || c == '.' ||
         c == '_' || c == '?' || c == '=';
}

}  // namespace

// The errors do not quote the text: it may come from a sandbox, and this library does not escape.
tl::expected<StorePath, std::string> StorePath::parse(std::string_view base) {
  using Refused = tl::unexpected<std::string>;
  if (base.size() < hash_length + 2) return Refused("a store path's base name is too short");
  const auto hash = base.substr(0, hash_length);
  if (!std::all_of(hash.begin(), hash.end(), is_hash_digit)) {
    return Refused("a store path's hash part holds a character that is no base 32 digit");
  }
  if (base[hash_length] != '-') return Refused("a store path's hash part is not followed by -");

  const auto name = base.substr(hash_length + 1);
  if (name.size() > max_name_length) {
    return Refused("a store path's name is longer than 211 characters");
  }
  if (!std::all_of(name.begin(), name.end(), is_name_character)) {
    return Refused("a store path's name holds a character that is not allowed");
  }
  if (name == "." || name == "..") return Refused("a store path's name may not be . or ..");
  return StorePath(std::string(base));
}

}  // namespace airlock
