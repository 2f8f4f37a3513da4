#include "daemon/command/text.hpp"

#include <unistd.h>

#include <algorithm>
#include <cerrno>

namespace airlock::command {

void put(int fd, std::string_view text) {
  while (!text.empty()) {
    const ssize_t written = ::write(fd, text.data(), text.size());
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return;
    text.remove_prefix(static_cast<std::size_t>(written));
  }
}

void complain(std::string_view sentence) {
  put(STDERR_FILENO, "airlock: " + std::string(sentence) + "\n");
}

std::string one_line(std::string_view text, std::size_t longest) {
  std::string line(text.substr(0, longest));
  std::ranges::replace_if(
      line, [](char c) { return c < ' ' || c > '~'; }, '?');
  return line;
}

}  // namespace airlock::command
