#pragma once

#include <SQLiteCpp/SQLiteCpp.h>

#include <span>
#include <string>

namespace airlock {

/// What leads from user_version `from` to `from` + 1.
struct Migration {
  int from;
  const char* sql;
};

/// Makes the schema in an empty database, or carries an older one along; each step is a
/// transaction. Throws SQLite::Exception, also when the database is newer than this program.
/// `steps` must lead from 1 to `version` without a gap.
void prepare_schema(SQLite::Database& database, const char* schema, int version,
                    std::span<const Migration> steps);

/// Opens the ledger to write, and makes file (mode 0640) and schema when they are missing.
/// Throws SQLite::Exception.
[[nodiscard]] SQLite::Database open_to_write(const std::string& file);

/// Opens the ledger to read, beside a writer or without. Throws SQLite::Exception.
[[nodiscard]] SQLite::Database open_to_read(const std::string& file);

}  // namespace airlock
