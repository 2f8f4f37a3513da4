#include "fusefs/boundary/view_words.hpp"

#include <algorithm>

namespace airlock::boundary {
namespace {

constexpr std::size_t longest_name = 64;
constexpr std::size_t longest_value = 4096;

bool consists_of(std::string_view name, std::string_view allowed) {
  return !name.empty() && name.size() <= longest_name &&
         name.find_first_not_of(allowed) == std::string_view::npos;
}

}  // namespace

bool is_channel_name(std::string_view name) {
  constexpr std::string_view allowed =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+._-";
  return consists_of(name, allowed) && name.front() != '.';
}

bool is_setting_name(std::string_view name) {
  return consists_of(name, "abcdefghijklmnopqrstuvwxyz0123456789-") && name.front() >= 'a' &&
         name != "include";
}

bool is_setting_value(std::string_view value) {
  constexpr unsigned char first_printable = 0x20;
  constexpr unsigned char delete_character = 0x7f;
  return value.size() <= longest_value && std::all_of(value.begin(), value.end(), [](char each) {
           const auto byte = static_cast<unsigned char>(each);
           return byte >= first_printable && byte != delete_character && each != '#';
         });
}

}  // namespace airlock::boundary
