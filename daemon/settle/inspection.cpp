#include "daemon/settle/inspection.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <fstream>
#include <sstream>
#include <system_error>
#include <vector>

#include "daemon/core/nar.hpp"
#include "daemon/core/quote.hpp"
#include "daemon/core/reference_scan.hpp"
#include "fusefs/boundary/fd.hpp"

namespace airlock {

namespace {

Derivation read_derivation(const StoreLayout& layout, const StorePath& path) {
  const std::ifstream stream(layout.print(path), std::ios::binary);
  std::ostringstream text;
  if (!stream || !(text << stream.rdbuf()))
    throw std::runtime_error(fmt::format("cannot read {}", layout.print(path)));
  auto derivation = Derivation::parse(layout, text.view());
  if (!derivation)
    throw std::runtime_error(
        fmt::format("cannot read {}: {}", layout.print(path), derivation.error()));
  return *std::move(derivation);
}

/// Entries are store paths or names of outputs. Nix has refused any other.
std::set<StorePath> paths_of(const StoreLayout& layout, const std::vector<std::string>& entries,
                             const Outputs& outputs) {
  std::set<StorePath> paths;
  for (const std::string& entry : entries) {
    if (const auto output = outputs.find(entry); output != outputs.end())
      paths.insert(output->second);
    else if (const auto path = layout.parse(entry))
      paths.insert(*path);
  }
  return paths;
}

std::set<StorePath> scan(int store, const StorePath& path, const std::set<StorePath>& granted) {
  struct stat status {};
  if (::fstatat(store, path.base().c_str(), &status, AT_SYMLINK_NOFOLLOW) != 0) {
    if (errno == ENOENT) return {};
    throw std::system_error(errno, std::generic_category(), "cannot read " + path.base());
  }
  ReferenceScan scanned(granted);
  dump_nar(store, path.base(), scanned);
  return scanned.found();
}

using Words = std::vector<std::string_view>;

Words split(std::string_view line) {
  Words words;
  for (;;) {
    const auto end = std::min(line.find(' '), line.size());
    words.push_back(line.substr(0, end));
    if (end == line.size()) return words;
    line.remove_prefix(end + 1);
  }
}

bool is_rule(std::string_view name) {
  return std::ranges::find(reference_rules, name, &ReferenceRule::name) != reference_rules.end();
}

/// "found <output> <path>", "rule <output> <rule>" or "spec <output> <rule> <path>".
bool take(const Words& words, const Outputs& outputs, Inspection& inspection) {
  if (words.size() < 3 || !outputs.contains(std::string(words[1]))) return false;
  OutputFindings& findings = inspection[std::string(words[1])];
  const auto path = StorePath::parse(words.back());
  if (words[0] == "found" && words.size() == 3 && path) {
    findings.references.insert(*path);
    return true;
  }
  if (!is_rule(words[2])) return false;
  if (words[0] == "rule" && words.size() == 3) {
    findings.rules.try_emplace(std::string(words[2]));
    return true;
  }
  const auto rule = findings.rules.find(words[2]);
  if (words[0] != "spec" || words.size() != 4 || !path || rule == findings.rules.end())
    return false;
  rule->second.insert(*path);
  return true;
}

}  // namespace

Inspection inspect(const StoreLayout& layout, const std::optional<StorePath>& derivation,
                   const Outputs& outputs, const std::set<StorePath>& granted) {
  Inspection inspection;
  if (outputs.empty()) return inspection;
  const Derivation parsed = derivation ? read_derivation(layout, *derivation) : Derivation{};
  const Fd store{::open(layout.store_dir.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC)};
  if (!store) throw std::system_error(errno, std::generic_category(), "cannot open the store");
  for (const auto& [name, path] : outputs) {
    OutputFindings& findings = inspection[name];
    if (!parsed.discards_references(name)) findings.references = scan(store.get(), path, granted);
    for (const ReferenceRule& rule : reference_rules)
      if (const auto entries = parsed.output_check(name, std::string(rule.name)))
        findings.rules.emplace(rule.name, paths_of(layout, *entries, outputs));
  }
  return inspection;
}

std::string encode(const Inspection& inspection) {
  std::string text;
  for (const auto& [output, findings] : inspection) {
    for (const StorePath& path : findings.references)
      text += fmt::format("found {} {}\n", output, path.base());
    for (const auto& [rule, paths] : findings.rules) {
      text += fmt::format("rule {} {}\n", output, rule);
      for (const StorePath& path : paths)
        text += fmt::format("spec {} {} {}\n", output, rule, path.base());
    }
  }
  return text;
}

tl::expected<Inspection, std::string> decode(std::string_view text, const Outputs& outputs) {
  Inspection inspection;
  for (const auto& [name, path] : outputs) inspection[name];
  while (!text.empty()) {
    const auto end = text.find('\n');
    const std::string_view line = text.substr(0, end);
    if (end == std::string_view::npos || !take(split(line), outputs, inspection))
      return tl::make_unexpected("the inspecting process reported " + quote(line));
    text.remove_prefix(end + 1);
  }
  return inspection;
}

}  // namespace airlock
