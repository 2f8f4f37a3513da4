#include "daemon/command/post_build.hpp"

#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <chrono>
#include <optional>

#include "daemon/command/chained.hpp"
#include "daemon/command/filesystem.hpp"
#include "daemon/command/owing.hpp"
#include "daemon/command/text.hpp"
#include "daemon/settle/settle.hpp"

namespace airlock::command {

namespace {

using Outcome = Settled::Outcome;

constexpr std::chrono::seconds patience{5};

tl::expected<Settlement, std::string> prepare(const Config& config, const Account& account,
                                              const std::string& nix_config) {
  NixSettings settings;
  if (const auto applied = settings.apply_file(config.layout.conf_dir + "/nix.conf"); !applied)
    return tl::make_unexpected(applied.error());
  settings.apply_variable(nix_config);
  return Settlement(config.layout, account, std::move(settings));
}

/// airlock-fs need not run for a debt to be settled; when it does, it forgets the session.
void tell_filesystem(const Config& config, const StorePath& derivation) {
  struct stat status {};
  if (::lstat(session_record(config, derivation).c_str(), &status) != 0) return;
  const boundary::Message message{.type = boundary::MessageType::settled,
                                  .strings = {derivation.base()}};
  const auto answer = ask_filesystem(config.sockets, message, -1, patience);
  if (!answer && !answer.error().down) complain(answer.error().sentence);
}

int fail(const StorePath& derivation, const std::string& sentence) {
  complain(fmt::format("{}: {}", derivation.base(), sentence));
  return failure;
}

void warn(const std::vector<std::string>& breaches) {
  for (const std::string& breach : breaches) complain(breach);
}

/// Settles one debt and says so. Without a value it could not be, and that was said.
std::optional<Outcome> settle_one(const Config& config, const Settlement& settlement,
                                  const StorePath& derivation, Occasion occasion) {
  const auto settled = settlement.settle(derivation, occasion);
  if (!settled) {
    fail(derivation, settled.error());
    return std::nullopt;
  }
  put(STDOUT_FILENO, fmt::format("{}: {}{}{}\n", derivation.base(), settled->sentence,
                                 settled->violation.empty() ? "" : "; ", settled->violation));
  warn(settled->breaches);
  if (settled->outcome != Outcome::in_progress) tell_filesystem(config, derivation);
  return settled->outcome;
}

enum class Say { all, changes };

/// Sets right what was built while the outputs of other builds were incomplete: by the build that
/// this hook belongs to, for one.
int review_all(const Config& config, const Settlement& settlement, Say say) {
  int code = success;
  for (const StorePath& derivation : list_recent(config.layout)) {
    const auto reviewed = settlement.review(derivation);
    if (!reviewed) {
      code = fail(derivation, reviewed.error());
      continue;
    }
    if (say == Say::all || reviewed->changed)
      put(STDOUT_FILENO, fmt::format("{}: {}\n", derivation.base(), reviewed->sentence));
    warn(reviewed->breaches);
  }
  return code;
}

/// Debts of builds that go on are not due yet.
int settle_all(const Config& config, const Settlement& settlement) {
  int code = success;
  for (const StorePath& debt : list_debts(config.layout))
    if (!settle_one(config, settlement, debt, Occasion::clean_up)) code = failure;
  if (review_all(config, settlement, Say::all) != success) code = failure;
  return code;
}

int settle_own(const Config& config, const Settlement& settlement, const StorePath& derivation) {
  const auto settled = settlement.settle(derivation, Occasion::after_build);
  if (!settled) return fail(derivation, settled.error());
  if (settled->outcome == Outcome::in_progress)
    return fail(derivation, "none of its outputs is valid yet: not settled");
  tell_filesystem(config, derivation);
  warn(settled->breaches);
  return settled->violation.empty() ? success : fail(derivation, settled->violation);
}

}  // namespace

int post_build(const Config& config, const Account& account, const std::string& derivation,
               const std::string& nix_config) {
  const auto path = config.layout.parse(derivation);
  if (!path) {
    complain("DRV_PATH: " + path.error());
    return failure;
  }
  if (may_owe(config, derivation) || amended_lately(config)) {
    const auto settlement = prepare(config, account, nix_config);
    if (!settlement) return fail(*path, settlement.error());
    // What is owed for others is no reason for this build to fail.
    const int code = may_owe(config, derivation) ? settle_own(config, *settlement, *path) : success;
    // Whoever waits for the build reads what is said here.
    (void)review_all(config, *settlement, Say::changes);
    if (code != success) return code;
  }
  if (config.post_build_hook.empty()) return success;
  complain(exec({config.post_build_hook, {}}));
  return failure;
}

int settle_debts(const Config& config, const Account& account, const std::string& derivation,
                 const std::string& nix_config) {
  const auto settlement = prepare(config, account, nix_config);
  if (!settlement) {
    complain(settlement.error());
    return failure;
  }
  if (derivation.empty()) return settle_all(config, *settlement);
  const auto path =
      derivation.starts_with('/') ? config.layout.parse(derivation) : StorePath::parse(derivation);
  if (!path || !path->is_derivation()) {
    complain("--derivation: " + (path ? derivation + " is not a .drv" : path.error()));
    return usage;
  }
  const auto outcome = settle_one(config, *settlement, *path, Occasion::after_lost_hook);
  return outcome && *outcome != Outcome::in_progress ? success : failure;
}

}  // namespace airlock::command
