#include "daemon/mediator/failure_text.hpp"

#include <fmt/format.h>

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
std::string how_it_failed(const std::string& text) {
  for (const std::string_view words : {"failed with exit code ", "failed due to signal "}) {
    const auto begin = text.find(words);
    if (begin == std::string::npos) continue;
    auto end = begin + words.size();
    while (end < text.size() && is_digit(text[end])) ++end;
    if (end > begin + words.size()) return text.substr(begin, end - begin);
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

std::string failure_text(const StorePath& path, const wire::BuildResult& failed,
                         const StoreLayout& layout) {
  const auto derivation = layout.print(path);
  switch (failed.status) {
    case wire::BuildStatus::permanent_failure:
      // Up to the log, which a builder can fill with such words.
      return fmt::format("builder for '{}' {}", derivation,
                         how_it_failed(failed.error.substr(0, failed.error.find('\n'))));
    case wire::BuildStatus::dependency_failed:
      return fmt::format("a dependency of '{}' was not built", derivation);
    default:
      return without_sandbox_root(one_plain_line(failed.error), derivation);
  }
}

}  // namespace airlock
