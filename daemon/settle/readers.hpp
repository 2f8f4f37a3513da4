#pragma once

#include <sys/types.h>

#include <compare>
#include <cstdint>
#include <set>
#include <string>
#include <string_view>
#include <tl/expected.hpp>

#include "daemon/core/store_layout.hpp"

namespace airlock {

/// Processes that may have read from Nix's database what has changed since: those that have it
/// open. A worker of nix-daemon has, for as long as it lives.
class Readers {
 public:
  /// Those that run now. Left out are this process, `except` and those of the user `except_user`,
  /// who can register nothing. For root. The error is one sentence.
  [[nodiscard]] static tl::expected<Readers, std::string> now(const StoreLayout& layout,
                                                              uid_t except_user, pid_t except);

  /// One word each for the boot, the pid namespace and the processes.
  [[nodiscard]] std::string print() const;
  [[nodiscard]] static tl::expected<Readers, std::string> parse(std::string_view text);

  [[nodiscard]] bool none() const { return processes_.empty(); }
  /// Forgets those that are over. Where processes cannot be told apart, because this one runs in
  /// another pid namespace, none is over until no Nix at all runs.
  void forget_ended(const StoreLayout& layout);

 private:
  struct Process {
    pid_t pid;
    std::uint64_t started;  ///< clock ticks since the boot
    auto operator<=>(const Process&) const = default;
  };

  std::string boot_;
  std::string pid_namespace_;
  std::set<Process> processes_;
};

}  // namespace airlock
