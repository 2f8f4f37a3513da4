#pragma once

#include <sys/types.h>

#include <chrono>
#include <string>
#include <tl/expected.hpp>

#include "daemon/config/account.hpp"
#include "daemon/settle/debt_folder.hpp"
#include "daemon/settle/inspection.hpp"
#include "fusefs/boundary/fd.hpp"

namespace airlock {

/// A child process that runs as the airlock user and does all that needs no root: it holds the
/// lock on a debt, reads the derivation and its outputs, and removes the debt in the end. It is
/// killed when this object goes. For a single-threaded process.
class Inspector {
 public:
  struct Report {
    DebtFolder::State state = DebtFolder::State::absent;
    Inspection inspection;  ///< when locked
  };

  /// What is not valid by now must not be among the outputs.
  [[nodiscard]] static tl::expected<Inspector, std::string> start(
      const StoreLayout& layout, const Account& account, const StorePath& derivation,
      const Outputs& outputs, std::chrono::milliseconds patience);

  Inspector(Inspector&& other) noexcept;
  Inspector& operator=(Inspector&&) = delete;
  Inspector(const Inspector&) = delete;
  Inspector& operator=(const Inspector&) = delete;
  ~Inspector();

  /// Waits for what the child has found. The error is one sentence: nothing may be concluded.
  [[nodiscard]] tl::expected<Report, std::string> report();

  /// Has the debt removed; only after report said that it is locked.
  [[nodiscard]] tl::expected<void, std::string> remove_debt();

 private:
  Inspector(Fd channel, pid_t pid, const Outputs& outputs)
      : channel_(std::move(channel)), pid_(pid), outputs_(outputs) {}
  /// The child's next part, without its last word; an error if the child complained or is gone.
  [[nodiscard]] tl::expected<std::string, std::string> receive(std::string& last_word);

  Fd channel_;
  pid_t pid_;
  Outputs outputs_;
  std::string unread_;
};

}  // namespace airlock
