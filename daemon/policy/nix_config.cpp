#include "daemon/policy/nix_config.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <set>
#include <string_view>

#include "daemon/core/quote.hpp"
#include "fusefs/boundary/view_words.hpp"

namespace airlock::policy {

namespace {

constexpr const char* attribute = "airlockNixConfig";
constexpr std::string_view blanks = " \t\r";

/// What says where the client's store is, and what a view says already.
constexpr std::array<std::string_view, 5> kept{"store", "build-users-group", "substituters",
                                               "trusted-substituters", "flake-registry"};

std::string_view trimmed(std::string_view text) {
  text.remove_prefix(std::min(text.find_first_not_of(blanks), text.size()));
  return text.substr(0, text.find_last_not_of(blanks) + 1);
}

bool is_kept(std::string_view name) {
  constexpr std::string_view extra = "extra-";
  if (name.starts_with(extra)) name.remove_prefix(extra.size());
  return std::find(kept.begin(), kept.end(), name) != kept.end();
}

tl::expected<NixSettings, std::string> read_lines(std::string_view text) {
  NixSettings settings;
  while (!text.empty()) {
    const auto end = std::min(text.find('\n'), text.size());
    const auto line = trimmed(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
    if (line.empty() || line.front() == '#') continue;
    if (line.starts_with("include ") || line.starts_with("!include "))
      return tl::unexpected(fmt::format("{}: {} is not allowed: write the settings themselves",
                                        attribute, quote(std::string(line))));
    const auto equals = line.find('=');
    if (equals == std::string_view::npos)
      return tl::unexpected(fmt::format("{}: {} is not of the form name = value", attribute,
                                        quote(std::string(line))));
    settings.emplace_back(trimmed(line.substr(0, equals)), trimmed(line.substr(equals + 1)));
  }
  return settings;
}

tl::expected<NixSettings, std::string> read(const Derivation& derivation) {
  if (auto settings = derivation.settings(attribute)) return *std::move(settings);
  auto text = derivation.text(attribute);
  if (const auto lines = derivation.structured_list(attribute))
    text = fmt::format("{}", fmt::join(*lines, "\n"));
  if (!text)
    return tl::unexpected(
        fmt::format("{} is neither lines of nix.conf nor a set of settings: correct it or leave it "
                    "out",
                    attribute));
  return read_lines(*text);
}

/// Why this one cannot be; empty when it can.
std::string fault_of(const std::string& name, const std::string& value) {
  if (!boundary::is_setting_name(name))
    return fmt::format("{} is not the name of a setting", quote(name));
  if (is_kept(name)) return fmt::format("'{}' is the airlock's to set: leave it out", name);
  if (!boundary::is_setting_value(value))
    return fmt::format(
        "the value of '{}' is longer than a line of nix.conf may be, or holds a '#' or a control "
        "character",
        name);
  return {};
}

}  // namespace

tl::expected<NixSettings, std::string> nix_config_of(const Derivation& derivation) {
  if (!derivation.has(attribute)) return NixSettings{};
  auto settings = read(derivation);
  if (!settings) return settings;
  std::set<std::string> names;
  std::size_t bytes = 0;
  for (const auto& [name, value] : *settings) {
    if (auto fault = fault_of(name, value); !fault.empty())
      return tl::unexpected(fmt::format("{}: {}", attribute, fault));
    if (!names.insert(name).second)
      return tl::unexpected(fmt::format("{}: '{}' is set twice: remove one", attribute, name));
    bytes += name.size() + value.size();
  }
  if (settings->size() > boundary::max_settings || bytes > boundary::max_settings_bytes)
    return tl::unexpected(
        fmt::format("{}: more than {} settings or {} bytes of them: leave some out", attribute,
                    boundary::max_settings, boundary::max_settings_bytes));
  return settings;
}

}  // namespace airlock::policy
