#pragma once

#include <functional>
#include <string>
#include <tl/expected.hpp>

#include "daemon/config/account.hpp"
#include "daemon/config/nix_settings.hpp"
#include "daemon/core/store_layout.hpp"
#include "daemon/settle/debt_folder.hpp"

namespace airlock {

/// When a debt is settled.
enum class Occasion {
  after_build,      ///< by the post-build hook of the derivation's own build
  after_lost_hook,  ///< its build has just ended without one
  clean_up,         ///< later: whatever a crash left
};

struct Settled {
  enum class Outcome {
    nothing_owed,  ///< there was no debt
    amended,       ///< references are complete, the debt is gone
    dropped,       ///< no output is valid: nobody will miss anything; the debt is gone
    in_progress,   ///< its build is running: its own hook will settle it
  };
  Outcome outcome = Outcome::nothing_owed;
  std::string sentence;     ///< what was done, for people
  std::string violation{};  ///< not empty: outputs break rules of their derivation; one sentence
};

/// Where a settlement has got to; for tests that end it there.
enum class Step { inspected, before_commit, committed, removed };

/// Pays debts: gives outputs the references that Nix could not know of (docs/settling.md). Run by
/// root beside a working Nix; a crash at any moment leaves a debt that can be settled again.
class Settlement {
 public:
  Settlement(StoreLayout layout, const Account& account, NixSettings settings)
      : layout_(std::move(layout)), account_(account), settings_(std::move(settings)) {}

  void watch(std::function<void(Step)> watcher) { watcher_ = std::move(watcher); }

  /// An error is one sentence, and leaves the debt as it was.
  [[nodiscard]] tl::expected<Settled, std::string> settle(const StorePath& derivation,
                                                          Occasion occasion) const;

 private:
  void reached(Step step) const;

  StoreLayout layout_;
  Account account_;
  NixSettings settings_;
  std::function<void(Step)> watcher_;
};

}  // namespace airlock
