#include "daemon/mediator/failure_text.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <string_view>

#include "daemon/core/plain_line.hpp"

namespace airlock {

namespace {

bool is_digit(char c) {
  return std::isdigit(static_cast<unsigned char>(c)) != 0;
}

/// "failed with exit code 3" from upstream's text, or just "failed".
std::string how_it_failed(std::string_view text) {
  for (const std::string_view words : {"failed with exit code ", "failed due to signal "}) {
    const auto begin = text.find(words);
    if (begin == std::string_view::npos) continue;
    auto end = begin + words.size();
    while (end < text.size() && is_digit(text[end])) ++end;
    if (end > begin + words.size()) return std::string(text.substr(begin, end - begin));
  }
  return "failed";
}

/// Where Nix has put the sandbox's root: its own folder names, which differ between versions.
std::string without_sandbox_root(std::string text, const std::string& derivation) {
  for (const auto& root : {derivation + ".chroot/root", derivation + ".chroot"})
    for (auto at = text.find(root); at != std::string::npos; at = text.find(root, at))
      text.erase(at, root.size());
  return text;
}

}  // namespace

/// "…; last 10 log lines:\n  …" up to 2.3, "…;\nlast 10 log lines:\n> …" up to 2.2x, "…\nLast 10
/// log lines:\n> …" later. What stands before holds nothing of the sandbox's but store paths, which
/// have no spaces.
std::string_view reason_in(std::string_view message) {
  for (std::size_t begin = 0; begin < message.size();) {
    const auto end = std::min(message.find('\n', begin), message.size());
    const auto line = message.substr(begin, end - begin);
    if (line.starts_with('>')) return message.substr(0, begin);
    if (const auto log = line.find(" log lines:"); log != std::string_view::npos)
      return message.substr(0, begin + log);
    begin = end + 1;
  }
  return message;
}

std::string failure_text(const StorePath& path, const wire::BuildResult& failed,
                         const StoreLayout& layout) {
  const auto derivation = layout.print(path);
  switch (failed.status) {
    case wire::BuildStatus::permanent_failure:
      return fmt::format("builder for '{}' {}", derivation, how_it_failed(reason_in(failed.error)));
    case wire::BuildStatus::dependency_failed:
      return fmt::format("a dependency of '{}' was not built", derivation);
    default:
      return without_sandbox_root(one_plain_line(failed.error), derivation);
  }
}

}  // namespace airlock
