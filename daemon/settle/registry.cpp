#include "daemon/settle/registry.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "daemon/settle/nix_database.hpp"

namespace airlock {

namespace {

using Database = WritableNixDatabase;

/// The rows of the outputs that are still valid, by output name.
using Rows = std::map<std::string, Database::Path>;

std::size_t add_references(const StoreLayout& layout, Database& database, Database::Id output,
                           const std::set<StorePath>& references) {
  std::size_t added = 0;
  for (const StorePath& reference : references) {
    const auto row = database.find(reference);
    if (!row)
      throw std::runtime_error(fmt::format("{}, which an output refers to, is not valid any more",
                                           layout.print(reference)));
    if (database.add_reference(output, row->id)) ++added;
  }
  return added;
}

void sign_again(const StoreLayout& layout, Database& database, const StorePath& path,
                const Database::Path& row, const std::vector<SigningKey>& keys) {
  const auto hash = Hash::parse(row.hash);
  if (!hash) throw std::runtime_error(layout.database() + ": " + hash.error());
  const std::string signed_text =
      fingerprint(layout, path, *hash, row.size, database.references_of(row.id));
  std::vector<std::string> signatures;
  signatures.reserve(keys.size());
  for (const SigningKey& key : keys) signatures.push_back(key.sign(signed_text));
  database.set_signatures(row.id, signatures);
}

/// The first path that breaks the rule. What Nix itself has judged of the output before, itself
/// included, cannot be it.
std::optional<StorePath> offender(Database& database, const StorePath& path, Database::Id id,
                                  const ReferenceRule& rule, const std::set<StorePath>& listed) {
  for (const StorePath& used :
       rule.requisites ? database.closure_of(id) : database.references_of(id))
    if (used != path && rule.allows != listed.contains(used)) return used;
  return std::nullopt;
}

std::vector<Violation> judge(Database& database, const Outputs& outputs, const Rows& rows,
                             const Inspection& inspection) {
  std::vector<Violation> violations;
  for (const auto& [name, row] : rows) {
    const StorePath& path = outputs.at(name);
    for (const auto& [rule_name, listed] : inspection.at(name).rules) {
      const auto rule = std::ranges::find(reference_rules, rule_name, &ReferenceRule::name);
      if (auto used = offender(database, path, row.id, *rule, listed))
        violations.push_back({name, path, rule->name, *std::move(used)});
    }
  }
  return violations;
}

/// Outputs may refer to one another, so one may only go after another has gone.
void invalidate(Database& database, const Rows& rows, std::vector<Violation>& violations) {
  std::set<std::string> gone;
  for (bool progress = true; progress;) {
    progress = false;
    for (Violation& violation : violations) {
      const Database::Id id = rows.at(violation.output).id;
      if (violation.invalidated) continue;
      if (!gone.contains(violation.output)) {
        if (database.has_other_referrers(id)) continue;
        database.invalidate(id);
        gone.insert(violation.output);
      }
      violation.invalidated = progress = true;
    }
  }
}

}  // namespace

tl::expected<Registry::Built, std::string> Registry::built(const StorePath& derivation) const {
  try {
    Database database(layout_);
    Built built;
    for (const auto& [name, path] : database.outputs_of(derivation)) {
      built.outputs.emplace(name, path);
      const auto row = database.find(path);
      if (!row) continue;
      built.any_valid = true;
      if (!row->content_addressed) built.valid.emplace(name, path);
    }
    return built;
  } catch (const std::exception& error) {
    return tl::make_unexpected(std::string(error.what()));
  }
}

tl::expected<Amendment, std::string> Registry::amend(
    const Outputs& outputs, const Inspection& inspection, const std::vector<SigningKey>& keys,
    const std::function<void()>& before_commit) const {
  try {
    Database database(layout_);
    SQLite::Transaction transaction = database.begin();
    Rows rows;
    for (const auto& [name, path] : outputs)
      if (auto row = database.find(path)) rows.emplace(name, *std::move(row));

    Amendment amendment;
    for (const auto& [name, row] : rows) {
      const std::size_t added =
          add_references(layout_, database, row.id, inspection.at(name).references);
      if (added == 0) continue;
      amendment.added[name] = added;
      sign_again(layout_, database, outputs.at(name), row, keys);
    }
    amendment.violations = judge(database, outputs, rows, inspection);
    invalidate(database, rows, amendment.violations);
    if (before_commit) before_commit();
    transaction.commit();
    return amendment;
  } catch (const std::exception& error) {
    return tl::make_unexpected(std::string(error.what()));
  }
}

}  // namespace airlock
