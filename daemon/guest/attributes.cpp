#include "daemon/guest/attributes.hpp"

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <sstream>

namespace airlock::guest {
namespace {

using Json = nlohmann::json;
using List = std::vector<std::string>;

std::optional<std::string> variable(const std::string& name) {
  const char* value = std::getenv(name.c_str());
  if (value == nullptr) return std::nullopt;
  return value;
}

List split(const std::string& text) {
  std::istringstream words(text);
  return {std::istream_iterator<std::string>(words), {}};
}

/// Nix 2.8 names the file as the host has it, which is nowhere in a sandbox; there it is in the
/// build's folder.
Json structured(const std::string& named) {
  for (const auto& file : {named, variable("NIX_BUILD_TOP").value_or("/build") + "/.attrs.json"}) {
    std::ifstream stream(file);
    if (!stream) continue;
    if (auto document = Json::parse(stream, nullptr, false); document.is_object()) return document;
  }
  return nullptr;
}

std::optional<List> strings(const Json& value) {
  const auto is_string = [](const Json& each) { return each.is_string(); };
  if (!value.is_array() || !std::all_of(value.begin(), value.end(), is_string)) return std::nullopt;
  return value.get<List>();
}

}  // namespace

std::optional<Attributes> Attributes::of_this_build() {
  Attributes attributes;
  const auto named = variable("NIX_ATTRS_JSON_FILE");
  if (!named) return attributes;
  const auto document = structured(*named);
  if (!document.is_object()) return std::nullopt;
  attributes.structured_ = true;
  for (const auto& [name, value] : document.items()) {
    if (value.is_string()) attributes.texts_[name] = value.get<std::string>();
    if (auto list = strings(value)) attributes.lists_[name] = *std::move(list);
  }
  const auto outputs = document.value("outputs", Json::object());
  for (const auto& [name, path] : outputs.items())
    if (path.is_string()) attributes.outputs_[name] = path.get<std::string>();
  return attributes;
}

std::optional<std::string> Attributes::text(const std::string& name) const {
  if (!structured_) return variable(name);
  const auto found = texts_.find(name);
  if (found == texts_.end()) return std::nullopt;
  return found->second;
}

std::optional<List> Attributes::list(const std::string& name) const {
  if (!structured_) {
    const auto value = variable(name);
    return value ? std::optional(split(*value)) : std::nullopt;
  }
  const auto found = lists_.find(name);
  if (found == lists_.end()) return std::nullopt;
  return found->second;
}

std::map<std::string, std::string> Attributes::outputs() const {
  if (structured_) return outputs_;
  std::map<std::string, std::string> outputs;
  for (const auto& name : split(variable("outputs").value_or("out")))
    if (auto path = variable(name)) outputs.emplace(name, *std::move(path));
  return outputs;
}

}  // namespace airlock::guest
