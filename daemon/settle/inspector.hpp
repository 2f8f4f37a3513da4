#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <tl/expected.hpp>

#include "daemon/config/account.hpp"
#include "daemon/settle/inspection.hpp"
#include "daemon/settle/recent_folder.hpp"
#include "fusefs/boundary/fd.hpp"

namespace airlock {

/// A child process that runs as the airlock user and does all that needs no root: it holds the
/// locks on a debt and on the record of an amendment, writes and removes them, and reads
/// derivations and outputs. It is killed when this object goes. For a single-threaded process.
/// Errors are one sentence: nothing may be concluded then.
class Inspector {
 public:
  [[nodiscard]] static tl::expected<Inspector, std::string> start(const StoreLayout& layout,
                                                                  const Account& account);

  Inspector(Inspector&& other) noexcept;
  Inspector& operator=(Inspector&&) = delete;
  Inspector(const Inspector&) = delete;
  Inspector& operator=(const Inspector&) = delete;
  ~Inspector();

  struct Debt {
    FolderLock state = FolderLock::absent;
    // When locked:
    Inspection inspection;             ///< of the outputs, for what was granted
    std::optional<std::int64_t> mark;  ///< set by a settlement that has not come to its end
  };
  /// Takes the lock on a debt. What is not valid by now must not be among the outputs.
  [[nodiscard]] tl::expected<Debt, std::string> take_debt(const StorePath& derivation,
                                                          const Outputs& outputs,
                                                          std::chrono::milliseconds patience);
  [[nodiscard]] tl::expected<void, std::string> set_mark(std::int64_t mark);
  [[nodiscard]] tl::expected<void, std::string> remove_debt();

  struct Recent {
    FolderLock state = FolderLock::absent;
    RecentAmendment amendment;  ///< when locked
  };
  /// Takes the lock on the record of an amendment.
  [[nodiscard]] tl::expected<Recent, std::string> take_recent(const StorePath& derivation,
                                                              std::chrono::milliseconds patience);
  /// Makes or extends and locks it (RecentFolder::keep); the whole of it is returned.
  [[nodiscard]] tl::expected<RecentAmendment, std::string> keep_recent(
      const StorePath& derivation, const RecentAmendment& amendment);
  [[nodiscard]] tl::expected<void, std::string> write_recent(const RecentAmendment& amendment);
  [[nodiscard]] tl::expected<void, std::string> remove_recent();

  /// Scans the outputs of any derivation for any paths. Without a derivation there are no rules.
  [[nodiscard]] tl::expected<Inspection, std::string> inspect(
      const std::optional<StorePath>& derivation, const Outputs& outputs,
      const std::set<StorePath>& wanted);

 private:
  struct Answer {
    std::string text;
    std::string last_word;
  };

  Inspector(Fd channel, pid_t pid) : channel_(std::move(channel)), pid_(pid) {}
  /// An error if the child complained or is gone.
  [[nodiscard]] tl::expected<Answer, std::string> ask(const std::string& request);
  [[nodiscard]] tl::expected<Answer, std::string> receive();
  [[nodiscard]] tl::expected<void, std::string> order(const std::string& request);

  Fd channel_;
  pid_t pid_;
  std::string unread_;
};

}  // namespace airlock
