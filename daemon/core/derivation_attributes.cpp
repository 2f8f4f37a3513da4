#include <algorithm>
#include <nlohmann/json.hpp>

#include "daemon/core/derivation.hpp"

namespace airlock {
namespace {

using Json = nlohmann::json;
using List = std::vector<std::string>;

const std::string* variable(const Derivation& derivation, const std::string& name) {
  const auto found = derivation.environment.find(name);
  return found == derivation.environment.end() ? nullptr : &found->second;
}

/// Structured attributes, if there are any: then they hold even where they say nothing. The parser
/// does not recurse, and neither does a value's destructor.
std::optional<Json> structured(const Derivation& derivation) {
  const auto* text = variable(derivation, "__json");
  if (text == nullptr) return std::nullopt;
  return Json::parse(*text, nullptr, false);
}

/// A member of an object; null when it is absent or `value` is not an object.
const Json& member(const Json& value, const std::string& name) {
  static const Json null;
  const auto found = value.find(name);
  return found == value.end() ? null : *found;
}

bool truth(const Json& value) {
  return value.is_boolean() && value.get<bool>();
}

std::optional<List> strings(const Json& value) {
  if (!value.is_array()) return std::nullopt;
  List result;
  for (const auto& each : value) {
    if (!each.is_string()) return std::nullopt;
    result.push_back(each.get<std::string>());
  }
  return result;
}

/// As nix.conf would have it.
std::optional<std::string> as_setting(const Json& value) {
  if (value.is_string()) return value.get<std::string>();
  if (value.is_boolean() || value.is_number_integer()) return value.dump();
  const auto words = strings(value);
  if (!words) return std::nullopt;
  std::string text;
  for (const auto& word : *words) text += (text.empty() ? "" : " ") + word;
  return text;
}

List split(std::string_view text) {
  constexpr std::string_view blanks = " \t\n\r";
  List words;
  for (;;) {
    text.remove_prefix(std::min(text.find_first_not_of(blanks), text.size()));
    if (text.empty()) return words;
    words.emplace_back(text.substr(0, text.find_first_of(blanks)));
    text.remove_prefix(words.back().size());
  }
}

}  // namespace

tl::expected<void, std::string> Derivation::check_structured_attributes() const {
  const auto attributes = structured(*this);
  if (!attributes || attributes->is_object()) return {};
  return tl::unexpected<std::string>(
      "the derivation's structured attributes are not a JSON object");
}

bool Derivation::has(const std::string& name) const {
  if (const auto attributes = structured(*this)) return attributes->contains(name);
  return variable(*this, name) != nullptr;
}

bool Derivation::flag(const std::string& name) const {
  if (const auto attributes = structured(*this)) return truth(member(*attributes, name));
  const auto* value = variable(*this, name);
  return value != nullptr && *value == "1";
}

std::optional<std::string> Derivation::text(const std::string& name) const {
  if (const auto attributes = structured(*this)) {
    const auto& value = member(*attributes, name);
    if (!value.is_string()) return std::nullopt;
    return value.get<std::string>();
  }
  const auto* value = variable(*this, name);
  if (value == nullptr) return std::nullopt;
  return *value;
}

std::optional<List> Derivation::list(const std::string& name) const {
  if (const auto attributes = structured(*this)) return strings(member(*attributes, name));
  const auto* value = variable(*this, name);
  if (value == nullptr) return std::nullopt;
  return split(*value);
}

std::optional<List> Derivation::structured_list(const std::string& name) const {
  const auto attributes = structured(*this);
  return attributes ? strings(member(*attributes, name)) : std::nullopt;
}

std::optional<std::vector<std::pair<std::string, std::string>>> Derivation::settings(
    const std::string& name) const {
  const auto attributes = structured(*this);
  if (!attributes || !member(*attributes, name).is_object()) return std::nullopt;
  std::vector<std::pair<std::string, std::string>> result;
  for (const auto& [key, value] : member(*attributes, name).items()) {
    auto text = as_setting(value);
    if (!text) return std::nullopt;
    result.emplace_back(key, *std::move(text));
  }
  return result;
}

bool Derivation::requires_feature(std::string_view feature) const {
  const auto features = list("requiredSystemFeatures");
  return features && std::find(features->begin(), features->end(), feature) != features->end();
}

std::optional<List> Derivation::output_check(const std::string& output,
                                             const std::string& name) const {
  if (const auto attributes = structured(*this)) {
    return strings(member(member(member(*attributes, "outputChecks"), output), name));
  }
  return list(name);
}

bool Derivation::discards_references(const std::string& output) const {
  const auto attributes = structured(*this);
  return attributes && truth(member(member(*attributes, "unsafeDiscardReferences"), output));
}

}  // namespace airlock
