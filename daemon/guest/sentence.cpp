#include "daemon/guest/sentence.hpp"

#include <algorithm>

#include "daemon/core/plain_line.hpp"

namespace airlock::guest {
namespace {

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
    const auto text = one_plain_line(line);
    if (const auto part = trimmed(text); !part.empty())
      sentence += (sentence.empty() ? "" : "; ") + std::string(part);
  }
  return sentence;
}

}  // namespace airlock::guest
