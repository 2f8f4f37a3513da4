#include <unistd.h>

#include <cstdlib>
#include <functional>

#include "daemon/command/cli.hpp"
#include "daemon/command/post_build.hpp"
#include "daemon/command/pre_build.hpp"
#include "daemon/command/proxy.hpp"
#include "daemon/command/show_ledger.hpp"
#include "daemon/command/status.hpp"
#include "daemon/command/text.hpp"

namespace airlock::command {

namespace {

std::string variable(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

/// Runs what only root may do.
class Runner {
 public:
  explicit Runner(const Config& config) : config_(config) {}

  int operator()(const PreBuildHook& hook) const {
    return as_root("hook pre-build", [&] {
      const auto account = find_account(config_.user, config_.group);
      return account ? pre_build(config_, *account, {hook.derivation, hook.chroot})
                     : refuse_build(account.error());
    });
  }
  int operator()(const PostBuildHook&) const {
    return with_account("hook post-build", [&](const Account& account) {
      return post_build(config_, account, variable("DRV_PATH"), variable("NIX_CONFIG"));
    });
  }
  int operator()(const SettleDebts& settle) const {
    return with_account("settle", [&](const Account& account) {
      return settle_debts(config_, account, settle.derivation, variable("NIX_CONFIG"));
    });
  }
  int operator()(const Status& status) const {
    return as_root("status", [&] { return show_status(config_, status.wait); });
  }
  int operator()(const ShowLedger& ledger) const { return show_ledger(config_, ledger); }
  int operator()(const Proxy& wanted) const { return proxy(config_, wanted); }

 private:
  [[nodiscard]] static int as_root(const std::string& what, const std::function<int()>& work) {
    if (::geteuid() == 0) return work();
    complain("'airlock " + what + "' is for root: run it with sudo");
    return not_root;
  }
  [[nodiscard]] int with_account(const std::string& what,
                                 const std::function<int(const Account&)>& work) const {
    return as_root(what, [&] {
      const auto account = find_account(config_.user, config_.group);
      if (account) return work(*account);
      complain(account.error());
      return static_cast<int>(failure);
    });
  }

  const Config& config_;
};

}  // namespace

}  // namespace airlock::command

int main(int argc, char** argv) {
  using namespace airlock;
  const auto invocation = command::parse_command_line(argc, argv);
  if (!invocation) return invocation.error();
  const auto config = Config::load(invocation->config_file);
  if (!config) {
    command::complain(config.error());
    return command::failure;
  }
  return std::visit(command::Runner(*config), invocation->action);
}
