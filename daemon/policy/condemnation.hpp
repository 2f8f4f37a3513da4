#pragma once

#include <string>
#include <string_view>

namespace airlock::policy {

/// Why a session is ended. Of a session that only waited for one that was ended, the rule is that
/// one's.
struct Condemnation {
  std::string_view rule;  ///< a constant: one of those below, or of a verdict
  std::string reason;     ///< one sentence
};

/// The rules that end a session or a connection, beside those of the verdicts in rules.cpp.
namespace rule {

inline constexpr std::string_view limits = "limits";          ///< a key of [limits] was reached
inline constexpr std::string_view starvation = "starvation";  ///< a wait for a build user in vain
inline constexpr std::string_view no_cycle = "no-cycle";      ///< a build would wait for itself
/// What has the network failed, and how must not be seen (`fixed-output = "sealed"`).
inline constexpr std::string_view sealed = "sealed";
/// The host, its nix-daemon or airlock itself failed, or may have: it follows from no derivation.
inline constexpr std::string_view host = "host-failed";

inline constexpr std::string_view well_formed = "well-formed";  ///< bytes that are no protocol
inline constexpr std::string_view hung_up = "hung-up";  ///< the client went while it was served
inline constexpr std::string_view caller = "caller";    ///< it is not of the session's sandbox

}  // namespace rule

}  // namespace airlock::policy
