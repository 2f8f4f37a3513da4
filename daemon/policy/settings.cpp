#include "daemon/policy/settings.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <optional>
#include <string_view>

#include "daemon/core/quote.hpp"

namespace airlock::policy {

namespace {

constexpr std::uint64_t most_verbose = 7;
constexpr std::uint64_t most_jobs = 64;
constexpr std::uint64_t most_cores = 1024;
constexpr std::uint64_t longest = 7 * 24 * 3600;  // seconds

/// Of a list setting the form with "extra-" in front is meant too.
constexpr std::array<std::string_view, 24> restricted{
    "sandbox",
    "sandbox-paths",
    "sandbox-fallback",
    "sandbox-build-dir",
    "filter-syscalls",
    "allowed-impure-host-deps",
    "build-hook",
    "pre-build-hook",
    "post-build-hook",
    "diff-hook",
    "builders",
    "substituters",
    "trusted-substituters",
    "trusted-public-keys",
    "require-sigs",
    "secret-key-files",
    "trusted-users",
    "allowed-users",
    "build-users-group",
    "system-features",
    "impure-env",
    "netrc-file",
    "plugin-files",
    "extra-platforms",
};

std::optional<std::uint64_t> seconds(const std::string& value) {
  std::uint64_t number = 0;
  const auto parsed = std::from_chars(value.data(), value.data() + value.size(), number);
  if (parsed.ec != std::errc() || parsed.ptr != value.data() + value.size()) return std::nullopt;
  return std::min(number, longest);
}

bool is_restricted(std::string_view name, std::string_view value) {
  constexpr std::string_view extra = "extra-";
  if (std::find(restricted.begin(), restricted.end(), name) == restricted.end()) {
    if (!name.starts_with(extra)) return false;
    name.remove_prefix(extra.size());
    if (std::find(restricted.begin(), restricted.end(), name) == restricted.end()) return false;
  }
  // Said to have none; that is what a build gets.
  const bool harmless = name == "builders" || name == "substituters";
  return !harmless || !value.empty();
}

}  // namespace

wire::SetOptions passed_on(const wire::SetOptions& request) {
  wire::SetOptions passed;
  // Which failure comes first, and what was built by then, would tell what the host has already.
  passed.keep_going = true;
  passed.verbosity = std::min(request.verbosity, most_verbose);
  passed.build_verbosity = passed.verbosity;
  passed.max_build_jobs = std::clamp<std::uint64_t>(request.max_build_jobs, 1, most_jobs);
  passed.max_silent_time = std::min(request.max_silent_time, longest);
  passed.build_cores = std::min(request.build_cores, most_cores);
  for (const auto& [name, value] : request.overrides)
    if (const auto limit = seconds(value); limit && name == "timeout")
      passed.overrides.emplace_back(name, std::to_string(*limit));
  return passed;
}

wire::SetOptions unless_asked() {
  wire::SetOptions ordinary;
  constexpr std::uint64_t as_clients_have_it = 3;
  ordinary.verbosity = as_clients_have_it;
  return passed_on(ordinary);
}

std::vector<std::string> restricted_settings(const wire::SetOptions& request) {
  std::vector<std::string> names;
  for (const auto& [name, value] : request.overrides)
    if (is_restricted(name, value)) names.push_back(name);
  return names;
}

std::string restricted_warning(const std::vector<std::string>& names) {
  return fmt::format(
      "warning: airlock ignores {} (restricted-settings): a build cannot change how it is built; "
      "to mend it, leave that out",
      fmt::join(names, ", "));
}

}  // namespace airlock::policy
