#include "daemon/settle/nix_database.hpp"

namespace airlock {

namespace {

// A carrier is a source or refers to one, over others too. A build had one among its inputs if one
// is a source of its derivation, or the output of a derivation that it names.
constexpr const char* dependents = R"(
WITH RECURSIVE
carrier(id) AS (
  SELECT v.id FROM ValidPaths v JOIN airlock_sources s ON s.path = v.path
  UNION SELECT r.referrer FROM Refs r JOIN carrier c ON r.reference = c.id),
carrying(path) AS (
  SELECT path FROM airlock_sources
  UNION SELECT v.path FROM carrier c JOIN ValidPaths v ON v.id = c.id)
SELECT built.id, built.path, drv.path,
  (SELECT o.id FROM DerivationOutputs o WHERE o.drv = drv.id AND o.path = built.path)
FROM ValidPaths built LEFT JOIN ValidPaths drv ON drv.path = built.deriver
WHERE built.id > ?1 AND coalesce(built.ca, '') = '' AND built.deriver IS NOT NULL
  AND built.path NOT IN (SELECT path FROM airlock_sources)
  AND CASE WHEN drv.id IS NULL THEN coalesce(built.ultimate, 0) = 1 ELSE EXISTS (
    SELECT 1 FROM Refs input WHERE input.referrer = drv.id AND (
      input.reference IN (SELECT id FROM carrier)
      OR EXISTS (SELECT 1 FROM DerivationOutputs o
        WHERE o.drv = input.reference AND o.path IN (SELECT path FROM carrying)))) END
ORDER BY built.id)";

}  // namespace

std::vector<WritableNixDatabase::Dependent> WritableNixDatabase::dependents_of(
    const std::set<StorePath>& sources, Id mark) {
  database_.exec("CREATE TEMP TABLE IF NOT EXISTS airlock_sources (path TEXT PRIMARY KEY)");
  database_.exec("DELETE FROM airlock_sources");
  SQLite::Statement insert(database_, "INSERT INTO airlock_sources VALUES (?)");
  for (const StorePath& source : sources) {
    insert.bind(1, layout_.print(source));
    insert.exec();
    insert.reset();
  }
  SQLite::Statement query(database_, dependents);
  query.bind(1, mark);
  std::vector<Dependent> found;
  while (query.executeStep()) {
    auto path = layout_.parse(query.getColumn(1).getString());
    if (!path) throw std::runtime_error(layout_.database() + ": " + path.error());
    Dependent dependent{query.getColumn(0).getInt64(), *std::move(path)};
    const auto derivation = layout_.parse(query.getColumn(2).getString());
    if (derivation && !query.getColumn(3).isNull()) {
      dependent.derivation = *derivation;
      dependent.output = query.getColumn(3).getString();
    }
    found.push_back(std::move(dependent));
  }
  return found;
}

WritableNixDatabase::Id WritableNixDatabase::last_id() {
  SQLite::Statement query(
      database_, "SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = 'ValidPaths'");
  query.executeStep();
  return query.getColumn(0).getInt64();
}

}  // namespace airlock
