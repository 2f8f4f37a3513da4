#pragma once

#include <mutex>
#include <string>
#include <tl/expected.hpp>

#include "daemon/core/store_layout.hpp"
#include "fusefs/boundary/fd.hpp"

namespace airlock {

/// The garbage collector roots of one session: a folder named by its derivation, in it one symlink
/// a granted path (and one, "derivation", for the derivation itself, whose outputs will be looked
/// at). What lies there is owed: it stays until the references of the derivation's outputs are
/// registered, through any crash. `airlock settle` removes it. Thread-safe.
class Debts {
 public:
  Debts(const StoreLayout& layout, const StorePath& derivation);

  /// Makes the root for a path. Repeating it is no error. The error is one sentence; it is one when
  /// Nix is not configured with a hook that would settle the debt.
  [[nodiscard]] tl::expected<void, std::string> hold(const StorePath& path);

  /// No more will be held: lets go of the lock that keeps a settling process waiting.
  void close();

 private:
  [[nodiscard]] tl::expected<void, std::string> open_folder();
  [[nodiscard]] tl::expected<void, std::string> link(const std::string& name,
                                                     const StorePath& path);

  StoreLayout layout_;
  StorePath derivation_;
  std::mutex mutex_;
  Fd folder_;
  bool closed_ = false;
};

}  // namespace airlock
