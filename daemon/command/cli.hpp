#pragma once

#include <sys/types.h>

#include <chrono>
#include <optional>
#include <string>
#include <tl/expected.hpp>
#include <variant>
#include <vector>

#include "daemon/config/config.hpp"
#include "daemon/ledger/ledger.hpp"

namespace airlock::command {

struct PreBuildHook {
  std::string derivation, chroot;
};
struct PostBuildHook {};
struct SettleDebts {
  std::string derivation;  ///< base name or full path; empty for all
};
struct Status {
  std::chrono::seconds wait{0};
};
struct ShowLedger {
  bool json = false;
  std::optional<LedgerSession> session;
  std::string derivation;  ///< base name or full path; empty for all
};
struct Proxy {
  std::string listen;
  std::string upstream;  ///< empty: the configured one
  bool observe = false;  ///< else strict
  mode_t mode = 0600;
  std::vector<std::string> roots;
  std::string record;
  bool verbose = false;
};
using Action = std::variant<PreBuildHook, PostBuildHook, SettleDebts, Status, ShowLedger, Proxy>;

struct Invocation {
  std::string config_file = Config::default_file;
  Action action;
};

/// Reads the command line. Without an invocation all has been said (help, the version, or what is
/// wrong), and the error is the exit code.
[[nodiscard]] tl::expected<Invocation, int> parse_command_line(int argc, char** argv);

}  // namespace airlock::command
