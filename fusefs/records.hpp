#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "fusefs/boundary/store_path.hpp"
#include "fusefs/kernel.hpp"
#include "fusefs/process.hpp"

namespace airlock::fusefs {

/// What the next airlock-fs has to know of a session when this one is killed.
struct SessionRecord {
  std::uint64_t number;
  StorePath derivation;
  FileIdentity chroot;
  ProcessStamp worker;
  std::optional<ProcessStamp> first;  ///< nothing until the sandbox's first process was seen
  bool verified = false;              ///< a process of the sandbox has called

  bool operator==(const SessionRecord&) const = default;
};

/// Pure. One "<word> <values>" a line; parse accepts exactly what format makes.
[[nodiscard]] std::string format_record(const SessionRecord& record);
[[nodiscard]] std::optional<SessionRecord> parse_record(std::string_view text);

/// The folder /run/airlock/sessions: one file a session, named by its derivation. It is in memory
/// (tmpfs) and for the same boot only, so nothing is synced; a record is replaced atomically.
class RecordFolder {
 public:
  /// Makes the folder (0700) when it is missing; throws std::runtime_error when it cannot.
  explicit RecordFolder(std::string folder);

  /// False, with a line in the log, when it could not be written.
  bool write(const SessionRecord& record) const;
  void remove(const StorePath& derivation) const;
  /// All records; what is no record is removed.
  [[nodiscard]] std::vector<SessionRecord> load() const;

 private:
  std::string folder_;
};

}  // namespace airlock::fusefs
