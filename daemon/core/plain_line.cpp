#include "daemon/core/plain_line.hpp"

namespace airlock {

namespace {

constexpr char escape = '\x1b';
constexpr char bell = '\x07';

bool is_control(char c) {
  return static_cast<unsigned char>(c) < 0x20 || c == '\x7f';
}

/// The place behind the sequence whose escape character is at `i`.
std::size_t behind_sequence(std::string_view text, std::size_t i) {
  const auto kind = ++i < text.size() ? text[i] : escape;
  if (kind == '[') {  // parameters, then one letter or sign that ends it
    ++i;
    while (i < text.size() && text[i] >= ' ' && text[i] < '@') ++i;
    return i < text.size() && text[i] >= '@' && text[i] <= '~' ? i + 1 : i;
  }
  if (kind == ']') {  // a title or a link: up to a bell or another escape character
    while (i < text.size() && text[i] != bell && text[i] != escape) ++i;
    if (i + 1 < text.size() && text[i] == escape && text[i + 1] == '\\') return i + 2;
    return i < text.size() && text[i] == bell ? i + 1 : i;
  }
  return is_control(kind) ? i : i + 1;
}

}  // namespace

std::string one_plain_line(std::string_view text) {
  std::string line;
  for (std::size_t i = 0; i < text.size();) {
    if (text[i] == escape) {
      i = behind_sequence(text, i);
      continue;
    }
    if (!is_control(text[i]))
      line += text[i];
    else if (!line.empty() && line.back() != ' ')
      line += ' ';
    ++i;
  }
  return line;
}

}  // namespace airlock
