#include "daemon/guest/sentence.hpp"

#include <algorithm>

namespace airlock::guest {
namespace {

/// Without colours (ESC [ … letter) and control characters.
std::string plain(std::string_view line) {
  std::string text;
  for (std::size_t at = 0; at < line.size(); ++at) {
    if (line.substr(at).starts_with("\x1b[")) {
      at = std::min(line.find_first_not_of("0123456789;", at + 2), line.size());
    } else if (const auto byte = static_cast<unsigned char>(line[at]); byte >= ' ' && byte != 127) {
      text += line[at];
    }
  }
  return text;
}

std::string_view trimmed(std::string_view text) {
  text.remove_prefix(std::min(text.find_first_not_of(" \t"), text.size()));
  return text.substr(0, text.find_last_not_of(" \t;:") + 1);
}

}  // namespace

std::string one_sentence(std::string_view error) {
  std::string sentence;
  while (!error.empty()) {
    const auto line = error.substr(0, error.find('\n'));
    error.remove_prefix(std::min(line.size() + 1, error.size()));
    const auto text = plain(line);
    if (const auto part = trimmed(text); !part.empty())
      sentence += (sentence.empty() ? "" : "; ") + std::string(part);
  }
  return sentence;
}

}  // namespace airlock::guest
