#include "daemon/guest/settings.hpp"

#include <algorithm>

namespace airlock::guest {
namespace {

/// In rising order. Not here, and so not closed: what names files or search paths (nix-path,
/// plugin-files, netrc-file, …), another store, or programs.
constexpr std::string_view words_only[] = {
    "abort-on-warn",
    "allow-dirty",
    "allow-import-from-derivation",
    "allowed-uris",
    "always-allow-substitutes",
    "build-cores",
    "build-max-jobs",
    "build-max-silent-time",
    "build-poll-interval",
    "build-timeout",
    "builders-use-substitutes",
    "compress-build-log",
    "connect-timeout",
    "cores",
    "download-attempts",
    "download-buffer-size",
    "eval-cache",
    "eval-system",
    "experimental-features",
    "fallback",
    "fsync-metadata",
    "http-connections",
    "http2",
    "ignore-try",
    "keep-build-log",
    "keep-derivations",
    "keep-failed",
    "keep-going",
    "keep-outputs",
    "log-lines",
    "max-build-log-size",
    "max-call-depth",
    "max-jobs",
    "max-silent-time",
    "max-substitution-jobs",
    "narinfo-cache-negative-ttl",
    "narinfo-cache-positive-ttl",
    "print-missing",
    "pure-eval",
    "require-sigs",
    "restrict-eval",
    "show-trace",
    "stalled-download-timeout",
    "substitute",
    "system",
    "system-features",
    "tarball-ttl",
    "timeout",
    "trace-function-calls",
    "trace-import-from-derivation",
    "trace-verbose",
    "warn-dirty",
    "warn-short-path-literals",
};
static_assert(std::is_sorted(std::begin(words_only), std::end(words_only)));

/// Takes the first word off the line; empty when there is none.
std::string_view next_word(std::string_view& line) {
  constexpr std::string_view blanks = " \t\r";
  line.remove_prefix(std::min(line.find_first_not_of(blanks), line.size()));
  const auto word = line.substr(0, line.find_first_of(blanks));
  line.remove_prefix(word.size());
  return word;
}

}  // namespace

bool names_no_file(std::string_view setting) {
  constexpr std::string_view extra = "extra-";
  if (setting.starts_with(extra)) setting.remove_prefix(extra.size());
  return std::binary_search(std::begin(words_only), std::end(words_only), setting);
}

bool name_no_file(std::string_view lines) {
  while (!lines.empty()) {
    auto line = lines.substr(0, lines.find('\n'));
    lines.remove_prefix(std::min(line.size() + 1, lines.size()));
    line = line.substr(0, line.find('#'));
    const auto name = next_word(line);
    if (name.empty()) continue;
    if (next_word(line) != "=" || !names_no_file(name)) return false;
  }
  return true;
}

}  // namespace airlock::guest
