#pragma once

#include <string>
#include <string_view>

namespace airlock::policy {

enum class Decision {
  allow,    ///< upstream is asked
  answer,   ///< answered from the session alone
  deny,     ///< an ordinary error: it follows from the derivation
  condemn,  ///< the sandbox is ended: going on would tell it something about the host
};
[[nodiscard]] std::string_view name_of(Decision decision);

/// What is done with one operation, and why. A denial names its rule and its remedy; the client's
/// user reads both.
struct Verdict {
  Decision decision = Decision::deny;
  std::string_view rule;  ///< a constant, e.g. "path-visible"
  std::string reason;     ///< one sentence; empty for allow and answer
  std::string remedy;     ///< one sentence; empty for allow and answer

  [[nodiscard]] bool refused() const {
    return decision == Decision::deny || decision == Decision::condemn;
  }
  /// "airlock refused this (path-visible): … To mend it: …"
  [[nodiscard]] std::string message() const;
};

}  // namespace airlock::policy
