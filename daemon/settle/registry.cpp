#include "daemon/settle/registry.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "daemon/settle/nix_database.hpp"

namespace airlock {

namespace {

using Database = WritableNixDatabase;

template <class Action>
auto guarded(const Action& action) -> tl::expected<decltype(action()), std::string> {
  try {
    return action();
  } catch (const std::exception& error) {
    return tl::make_unexpected(std::string(error.what()));
  }
}

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

OutputRows rows_of(Database& database, const Outputs& outputs) {
  OutputRows rows;
  for (const auto& [name, path] : outputs)
    if (auto row = database.find(path)) rows.emplace(name, *std::move(row));
  return rows;
}

bool is_complete(Database& database, Database::Id path, const std::set<StorePath>& references) {
  return std::ranges::includes(database.references_of(path), references);
}

}  // namespace

tl::expected<Registry::Built, std::string> Registry::built(const StorePath& derivation) const {
  return guarded([&] {
    Database database(layout_);
    Built built;
    for (const auto& [name, path] : database.outputs_of(derivation)) {
      built.outputs.emplace(name, path);
      if (database.find(path)) built.valid.emplace(name, path);
    }
    return built;
  });
}

tl::expected<std::optional<std::int64_t>, std::string> Registry::incomplete_since(
    const Outputs& outputs, const Inspection& inspection) const {
  return guarded([&] {
    Database database(layout_);
    const OutputRows rows = rows_of(database, outputs);
    std::optional<std::int64_t> first;
    bool incomplete = false;
    for (const auto& [name, row] : rows) {
      first = std::min(first.value_or(row.id), row.id);
      if (!is_complete(database, row.id, inspection.at(name).references)) incomplete = true;
    }
    return incomplete ? first : std::nullopt;
  });
}

tl::expected<Amendment, std::string> Registry::amend(
    const Outputs& outputs, const Inspection& inspection, const std::vector<SigningKey>& keys,
    Breach breach, const std::function<void()>& before_commit) const {
  return guarded([&] {
    Database database(layout_);
    SQLite::Transaction transaction = database.begin();
    const OutputRows rows = rows_of(database, outputs);
    Amendment amendment;
    for (const auto& [name, row] : rows) {
      // References are part of a content-addressed path's address.
      if (row.content_addressed) continue;
      const std::size_t added =
          add_references(layout_, database, row.id, inspection.at(name).references);
      if (added == 0) continue;
      amendment.added[name] = added;
      sign_again(layout_, database, outputs.at(name), row, keys);
    }
    amendment.violations = judge(database, outputs, rows, inspection);
    if (breach == Breach::take_back)
      amendment.taken_back = take_back(database, rows, amendment.violations);
    if (before_commit) before_commit();
    transaction.commit();
    return amendment;
  });
}

tl::expected<Registry::Dependents, std::string> Registry::dependents(
    const std::set<StorePath>& sources, const std::set<StorePath>& wanted,
    std::int64_t mark) const {
  return guarded([&] {
    Database database(layout_);
    Dependents dependents;
    // Before the question, so that nothing falls between this time and the next.
    dependents.seen = database.last_id();
    std::set<StorePath> grouped;
    for (const auto& [id, path, derivation, output] : database.dependents_of(sources, mark)) {
      if (is_complete(database, id, wanted) || (derivation && !grouped.insert(*derivation).second))
        continue;
      auto& group = dependents.groups.emplace_back(Dependents::Group{derivation, {{output, path}}});
      // A rule may name any output of the derivation.
      if (derivation)
        for (auto& [name, sibling] : database.outputs_of(*derivation))
          if (database.find(sibling)) group.outputs.emplace(name, std::move(sibling));
    }
    return dependents;
  });
}

}  // namespace airlock
