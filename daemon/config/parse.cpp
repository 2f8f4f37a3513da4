#include "daemon/config/parse.hpp"

#include <algorithm>
#include <array>
#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#define TOML_EXCEPTIONS 0
#define TOML_ENABLE_FORMATTERS 0
#include <toml++/toml.h>

namespace airlock {

namespace {

using Problem = std::optional<std::string>;

/// A key of the file: a table when keys may stand within it. set lays the value over the
/// configuration, or says what it expects instead.
struct Key {
  std::string_view name;
  std::function<Problem(const toml::node&, Config&)> set;
  std::vector<Key> within;
};

Problem set_string(const toml::node& value, std::string& target,
                   const std::function<bool(std::string_view)>& valid, std::string_view expected) {
  const auto text = value.value_exact<std::string>();
  if (!text || !valid(*text)) return std::string(expected);
  target = *text;
  return std::nullopt;
}

bool is_account_name(std::string_view text) {
  const auto allowed = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '-' || c == '.' || c == '$';
  };
  return !text.empty() && text.size() <= 256 && text.front() != '-' &&
         std::ranges::all_of(text, allowed);
}

bool is_absolute(std::string_view text) {
  return text.starts_with('/') && text.find('\0') == std::string_view::npos;
}

bool is_feature(std::string_view text) {
  return !text.empty() && text.find_first_of(" \t\r\n\"\\") == std::string_view::npos;
}

Key account(std::string_view name, std::string Config::*field) {
  return {name,
          [field](const toml::node& value, Config& config) {
            return set_string(value, config.*field, is_account_name,
                              "the name of an account, like \"airlock\"");
          },
          {}};
}

Key path(std::string_view name, std::string Config::*field) {
  return {name,
          [field](const toml::node& value, Config& config) {
            return set_string(value, config.*field, is_absolute, "an absolute path in quotes");
          },
          {}};
}

template <typename Number>
Key limit(std::string_view name, Number Limits::*field, std::int64_t least, std::int64_t most) {
  return {name,
          [=](const toml::node& value, Config& config) -> Problem {
            const auto number = value.value_exact<std::int64_t>();
            if (!number || *number < least || *number > most)
              return "a whole number from " + std::to_string(least) + " to " + std::to_string(most);
            config.limits.*field = static_cast<Number>(*number);
            return std::nullopt;
          },
          {}};
}

Problem set_features(const toml::node& value, Config& config) {
  const std::string expected = "a list of feature names, like [\"airlock\"]";
  const auto* list = value.as_array();
  if (list == nullptr || list->empty()) return expected;
  std::vector<std::string> features;
  for (const auto& item : *list) {
    const auto text = item.value_exact<std::string>();
    if (!text || !is_feature(*text)) return expected;
    features.push_back(*text);
  }
  config.features = std::move(features);
  return std::nullopt;
}

Problem set_fixed_output(const toml::node& value, Config& config) {
  static constexpr std::array<std::pair<std::string_view, FixedOutputPolicy>, 3> policies{{
      {"sealed", FixedOutputPolicy::sealed},
      {"open", FixedOutputPolicy::open},
      {"closed", FixedOutputPolicy::closed},
  }};
  const auto text = value.value_exact<std::string>();
  for (const auto& [name, policy] : policies) {
    if (text && *text == name) {
      config.fixed_output = policy;
      return std::nullopt;
    }
  }
  return "\"sealed\", \"open\" or \"closed\"";
}

Problem set_schemes(const toml::node& value, Config& config) {
  static constexpr std::array<std::string_view, 4> known{"https", "http", "file", "path"};
  const auto* list = value.as_array();
  std::vector<std::string> schemes;
  bool valid = list != nullptr;
  for (std::size_t i = 0; valid && i < list->size(); ++i) {
    const auto text = (*list)[i].value_exact<std::string>();
    valid = text && std::ranges::find(known, *text) != known.end();
    if (valid) schemes.push_back(*text);
  }
  if (!valid) return "a list of \"https\", \"http\", \"file\", \"path\"";
  config.fetch.schemes = std::move(schemes);
  return std::nullopt;
}

/// A key of [fetch] that holds an integer, as the limits do.
Key fetch_number(std::string_view name, std::int64_t least, std::int64_t most,
                 void (*store)(FetchConfig&, std::int64_t)) {
  return {name,
          [=](const toml::node& value, Config& config) -> Problem {
            const auto number = value.value_exact<std::int64_t>();
            if (!number || *number < least || *number > most)
              return "a whole number from " + std::to_string(least) + " to " + std::to_string(most);
            store(config.fetch, *number);
            return std::nullopt;
          },
          {}};
}

Key fetch_switch(std::string_view name, bool FetchConfig::*field) {
  return {name,
          [field](const toml::node& value, Config& config) -> Problem {
            const auto flag = value.value_exact<bool>();
            if (!flag) return "true or false";
            config.fetch.*field = *flag;
            return std::nullopt;
          },
          {}};
}

Key fetch_text(std::string_view name, std::string FetchConfig::*field,
               bool (*valid)(std::string_view), std::string_view expected) {
  return {name,
          [=](const toml::node& value, Config& config) {
            return set_string(value, config.fetch.*field, valid, expected);
          },
          {}};
}

std::string at(const std::string& file, const toml::source_region& region) {
  return file + ":" + std::to_string(region.begin.line) + ": ";
}

std::string names(const std::vector<Key>& keys) {
  std::string list;
  for (const Key& key : keys) {
    if (!list.empty()) list += ", ";
    list += key.name;
  }
  return list;
}

/// Applies every entry of a table and of those within it. The problem is the sentence for the user.
Problem apply(const toml::table& table, const std::vector<Key>& keys, const std::string& prefix,
              const std::string& file, Config& config) {
  for (const auto& [name, value] : table) {
    const std::string full = prefix + std::string(name.str());
    const auto key = std::ranges::find(keys, name.str(), &Key::name);
    if (key == keys.end())
      return at(file, name.source()) + "unknown key '" + full + "': correct it to one of " +
             names(keys) + ", or remove it";
    Problem expected;
    if (key->within.empty())
      expected = key->set(value, config);
    else if (!value.is_table())
      expected = "a table: write [" + full + "] and its keys below it";
    if (expected) return at(file, value.source()).append("'" + full + "' must be " + *expected);
    if (const toml::table* entries = value.as_table())
      if (auto problem = apply(*entries, key->within, full + ".", file, config)) return problem;
  }
  return std::nullopt;
}

constexpr std::int64_t largest = std::int64_t{1} << 50;

std::vector<Key> all_keys() {
  const std::vector<Key> hooks{
      path("pre-build", &Config::pre_build_hook),
      path("post-build", &Config::post_build_hook),
  };
  const std::vector<Key> limits{
      limit("connections", &Limits::connections, 1, 65536),
      limit("string-bytes", &Limits::string_bytes, 4096, largest),
      limit("list-items", &Limits::list_items, 1024, largest),
      limit("request-bytes", &Limits::request_bytes, 1 << 20, largest),
      limit("derivation-bytes", &Limits::derivation_bytes, 4096, largest),
      limit("nar-bytes", &Limits::nar_bytes, 4096, largest),
      limit("handshake", &Limits::handshake, 1, 3600),
      limit("stall", &Limits::stall, 1, 86400 * 7),
      limit("depth", &Limits::depth, 1, 256),
      limit("paths", &Limits::paths, 1, largest),
      limit("granted-bytes", &Limits::granted_bytes, 1, largest),
      limit("operations", &Limits::operations, 1, largest),
      limit("builds", &Limits::builds, 1, 65536),
      limit("machine-builds", &Limits::machine_builds, 1, 65536),
      limit("build-time", &Limits::build_time, 1, 86400 * 365),
      limit("starvation", &Limits::starvation, 1, 86400 * 365),
      limit("ledger-days", &Limits::ledger_days, 1, 36500),
  };
  const std::vector<Key> fetch{
      fetch_text("user", &FetchConfig::user, is_account_name,
                 "the name of an account, like \"airlock-fetch\""),
      {"schemes", set_schemes, {}},
      fetch_switch("allow-loopback", &FetchConfig::allow_loopback),
      fetch_switch("allow-private", &FetchConfig::allow_private),
      fetch_text("ca-file", &FetchConfig::ca_file, is_absolute, "an absolute path in quotes"),
      fetch_number("max-bytes", 4096, largest,
                   [](FetchConfig& config, std::int64_t number) {
                     config.max_bytes = static_cast<std::uint64_t>(number);
                   }),
      fetch_number("max-memory", 16 << 20, largest,
                   [](FetchConfig& config, std::int64_t number) {
                     config.max_memory = static_cast<std::uint64_t>(number);
                   }),
      fetch_number("timeout", 1, 86400,
                   [](FetchConfig& config, std::int64_t number) {
                     config.timeout = std::chrono::seconds(number);
                   }),
  };
  return {
      account("user", &Config::user),      account("group", &Config::group),
      {"features", set_features, {}},      path("ledger", &Config::ledger),
      path("upstream", &Config::upstream), {"fixed-output", set_fixed_output, {}},
      {"hooks", nullptr, hooks},           {"limits", nullptr, limits},
      {"fetch", nullptr, fetch},
  };
}

}  // namespace

tl::expected<Config, std::string> parse_config(std::string_view text, const std::string& file,
                                               const Config& defaults) {
  const toml::parse_result parsed = toml::parse(text, file);
  if (!parsed)
    return tl::make_unexpected(at(file, parsed.error().source()) +
                               "this is not TOML: " + std::string(parsed.error().description()));
  Config config = defaults;
  if (Problem problem = apply(parsed.table(), all_keys(), "", file, config))
    return tl::make_unexpected(*std::move(problem));
  return config;
}

}  // namespace airlock
