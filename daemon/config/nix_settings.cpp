#include "daemon/config/nix_settings.hpp"

#include <unistd.h>

#include <fstream>
#include <optional>
#include <sstream>

namespace airlock {

namespace {

constexpr int deepest_include = 32;

std::vector<std::string> split(std::string_view line) {
  constexpr std::string_view blanks = " \t\r";
  std::vector<std::string> words;
  std::size_t begin = 0;
  while ((begin = line.find_first_not_of(blanks, begin)) != std::string_view::npos) {
    const auto end = std::min(line.find_first_of(blanks, begin), line.size());
    words.emplace_back(line.substr(begin, end - begin));
    begin = end;
  }
  return words;
}

std::optional<std::string> read_file(const std::string& file) {
  const std::ifstream stream(file, std::ios::binary);
  std::ostringstream text;
  if (!stream || !(text << stream.rdbuf())) return std::nullopt;
  return text.str();
}

std::string beside(const std::string& file, const std::string& named) {
  if (named.starts_with('/')) return named;
  return file.substr(0, file.rfind('/') + 1) + named;
}

}  // namespace

tl::expected<void, std::string> NixSettings::apply_file(const std::string& file) {
  const auto text = read_file(file);
  if (!text) return {};
  return apply(*text, file, 0);
}

void NixSettings::apply_variable(std::string_view text) {
  // Without a file's name mistakes are passed over.
  (void)apply(text, "", 0);
}

std::vector<std::string> NixSettings::words(const std::string& name) const {
  const auto found = values_.find(name);
  return found == values_.end() ? std::vector<std::string>{} : found->second;
}

tl::expected<void, std::string> NixSettings::apply(std::string_view text, const std::string& file,
                                                   int depth) {
  const bool lenient = file.empty();
  for (int number = 1; !text.empty(); ++number) {
    const auto end = std::min(text.find('\n'), text.size());
    const std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));

    auto words = split(line.substr(0, line.find('#')));
    if (words.empty()) continue;
    const bool includes = words[0] == "include" || words[0] == "!include";
    if (includes && words.size() == 2) {
      auto included = include(words[1], words[0] == "!include", file, depth);
      if (!included && !lenient) return included;
    } else if (!includes && words.size() >= 2 && words[1] == "=") {
      const std::string name = std::move(words[0]);
      words.erase(words.begin(), words.begin() + 2);
      set(name, std::move(words));
    } else if (!lenient) {
      return tl::make_unexpected(file + ":" + std::to_string(number) +
                                 ": this is no setting of Nix's: correct or remove the line");
    }
  }
  return {};
}

tl::expected<void, std::string> NixSettings::include(const std::string& named, bool optional,
                                                     const std::string& from, int depth) {
  const std::string file = beside(from, named);
  if (depth == deepest_include)
    return tl::make_unexpected(file + " is included too deeply: does it include itself?");
  if (::access(file.c_str(), F_OK) != 0) {
    if (optional) return {};
    return tl::make_unexpected(file + ", included from " + from + ", is missing");
  }
  const auto text = read_file(file);
  return text ? apply(*text, file, depth + 1) : tl::expected<void, std::string>{};
}

void NixSettings::set(const std::string& name, std::vector<std::string> value) {
  constexpr std::string_view extra = "extra-";
  if (!name.starts_with(extra)) {
    values_[name] = std::move(value);
    return;
  }
  auto& words = values_[name.substr(extra.size())];
  words.insert(words.end(), value.begin(), value.end());
}

}  // namespace airlock
