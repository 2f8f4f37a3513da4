#include "daemon/settle/rules.hpp"

#include <algorithm>
#include <optional>

namespace airlock {

namespace {

using Database = WritableNixDatabase;
using Names = std::set<std::string>;

/// The first path that breaks the rule. What Nix itself has judged of the output before, itself
/// included, cannot be it.
std::optional<StorePath> offender(Database& database, const StorePath& path, Database::Id id,
                                  const ReferenceRule& rule, const std::set<StorePath>& listed) {
  for (const StorePath& used :
       rule.requisites ? database.closure_of(id) : database.references_of(id))
    if (used != path && rule.allows != listed.contains(used)) return used;
  return std::nullopt;
}

/// For each output its referrers, itself not counted: other outputs by name, and whether there is
/// anything else.
struct Referrers {
  std::map<std::string, Names> outputs;
  Names referred_from_outside;
};

Referrers referrers_of(Database& database, const OutputRows& rows) {
  std::map<Database::Id, std::string> names;
  for (const auto& [name, row] : rows) names.emplace(row.id, name);
  Referrers referrers;
  for (const auto& [name, row] : rows) {
    for (const Database::Id referrer : database.referrers_of(row.id)) {
      const auto output = names.find(referrer);
      if (output == names.end())
        referrers.referred_from_outside.insert(name);
      else if (referrer != row.id)
        referrers.outputs[name].insert(output->second);
    }
  }
  return referrers;
}

/// The outputs and all that refer to them, whether over others or not.
Names with_referrers(Names names, const Referrers& referrers) {
  for (std::vector<std::string> open(names.begin(), names.end()); !open.empty();) {
    const std::string name = open.back();
    open.pop_back();
    const auto above = referrers.outputs.find(name);
    if (above == referrers.outputs.end()) continue;
    for (const std::string& referrer : above->second)
      if (names.insert(referrer).second) open.push_back(referrer);
  }
  return names;
}

}  // namespace

std::vector<Violation> judge(Database& database, const Outputs& outputs, const OutputRows& rows,
                             const Inspection& inspection) {
  std::vector<Violation> violations;
  for (const auto& [name, row] : rows) {
    const StorePath& path = outputs.at(name);
    const OutputFindings& findings = inspection.at(name);
    if (row.content_addressed) {
      if (!findings.references.empty())
        violations.push_back({name, path, Violation::no_references, *findings.references.begin()});
      continue;
    }
    for (const auto& [rule_name, listed] : findings.rules) {
      const auto rule = std::ranges::find(reference_rules, rule_name, &ReferenceRule::name);
      if (auto used = offender(database, path, row.id, *rule, listed))
        violations.push_back({name, path, rule->name, *std::move(used)});
    }
  }
  return violations;
}

Names take_back(Database& database, const OutputRows& rows, std::vector<Violation>& violations) {
  const Referrers referrers = referrers_of(database, rows);
  Names gone;
  for (Violation& violation : violations) {
    const Names needed = with_referrers({violation.output}, referrers);
    const auto stays = [&](const std::string& name) {
      return referrers.referred_from_outside.contains(name);
    };
    if (std::ranges::any_of(needed, stays)) continue;
    violation.invalidated = true;
    gone.insert(needed.begin(), needed.end());
  }
  // Nix's tables let nothing go that a row of Refs still names.
  for (const std::string& name : gone) database.remove_references(rows.at(name).id);
  for (const std::string& name : gone) database.invalidate(rows.at(name).id);
  return gone;
}

}  // namespace airlock
