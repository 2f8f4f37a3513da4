#pragma once

#include <functional>
#include <string>
#include <tl/expected.hpp>
#include <vector>

#include "daemon/config/account.hpp"
#include "daemon/config/nix_settings.hpp"
#include "daemon/core/store_layout.hpp"
#include "daemon/settle/debt_folder.hpp"
#include "daemon/settle/inspector.hpp"
#include "daemon/settle/registry.hpp"

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
  std::vector<std::string> breaches{};  ///< of other derivations, by references added to them
};

/// What was found of a recent amendment.
struct Reviewed {
  bool over = false;     ///< no build can come to light any more that knows the old references
  std::string sentence;  ///< what was done, for people
  bool changed = false;  ///< references were added
  std::vector<std::string> breaches{};  ///< as of Settled
};

/// Where a settlement has got to; for tests that end it there.
enum class Step { inspected, before_commit, committed, recorded, caught_up, removed };

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

  /// Looks again at what was built from outputs that were amended lately (list_recent). An error is
  /// one sentence, and leaves the record as it was.
  [[nodiscard]] tl::expected<Reviewed, std::string> review(const StorePath& derivation) const;

 private:
  struct Work;
  void reached(Step step) const;
  [[nodiscard]] tl::expected<Settled, std::string> amend(Work& work, Inspector::Debt& debt) const;
  [[nodiscard]] tl::expected<void, std::string> close_window(Work& work, std::int64_t mark,
                                                             Settled& settled) const;
  [[nodiscard]] tl::expected<void, std::string> look_again(
      const Registry& registry, Inspector& inspector, const std::vector<SigningKey>& keys,
      const Registry::Built& built, RecentAmendment& record, Reviewed& reviewed) const;

  StoreLayout layout_;
  Account account_;
  NixSettings settings_;
  std::function<void(Step)> watcher_;
};

}  // namespace airlock
