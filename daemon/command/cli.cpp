#include "daemon/command/cli.hpp"

#include <CLI/CLI.hpp>

#include "daemon/command/text.hpp"

namespace airlock::command {

namespace {

constexpr const char* description =
    "airlock - run Nix inside Nix builds\n\n"
    "A derivation with requiredSystemFeatures = [ \"airlock\" ] may run nix-build inside its own\n"
    "build. airlock-fs and airlockd do that work; this command is what Nix's hooks run, and shows\n"
    "what happened.";

constexpr const char* footer =
    "\nExit codes:\n"
    "  0    done\n"
    "  1    it failed, or something stays owed; standard error says what\n"
    "  3    status: airlock-fs does not answer, or airlockd is not connected\n"
    "  64   the command line is wrong\n"
    "  77   only root may do this\n"
    "  A hook passes on the exit code of the hook that is chained to it.\n\n"
    "Files:\n"
    "  /etc/airlock/airlock.toml         settings; every one has a default\n"
    "  /var/lib/airlock/ledger.sqlite    the ledger; group airlock may read it\n"
    "  /nix/var/nix/gcroots/airlock/     what is owed, a folder for each derivation\n";

constexpr const char* hook_help =
    "nix.conf takes programs without arguments:\n"
    "  pre-build-hook = <libexec>/airlock/pre-build-hook\n"
    "  post-build-hook = <libexec>/airlock/post-build-hook\n"
    "Your own hooks go to [hooks] in airlock.toml, and are run as Nix would run them.\n";

constexpr const char* settle_help =
    "Registers the references that outputs of finished builds have to paths their sessions were\n"
    "granted, where a crash kept the post-build hook from it. Prints a line for each derivation.\n"
    "Run as root before airlock-fs starts. Exit code 0 when nothing is owed any more, except by\n"
    "builds that still run: those settle by their own hook. With --derivation, which waits for\n"
    "airlockd to let go of it, 0 only when that one owes nothing.\n";

constexpr const char* status_help =
    "Asks airlock-fs, as root, whether builds can be served. Exit code 3 when they cannot.\n";

constexpr const char* ledger_help =
    "Shows the sessions, each below the one that asked for it, and their operations: what was\n"
    "asked, about what, what was decided by which rule, and how long it took.\n";

constexpr const char* proxy_help =
    "Serves the Nix protocol at a socket of its own and asks the daemon behind --upstream, without "
    "a\n"
    "sandbox, without FUSE, without root. In strict only the closure of the roots exists, and what "
    "is\n"
    "added and built through the socket; in observe everything that the daemon allows is passed "
    "on,\n"
    "and what strict would have said is recorded. Whoever can open the socket acts as the user "
    "who\n"
    "runs this. NIX_STORE_DIR and NIX_STATE_DIR say where that daemon's store lies. Ends well on "
    "TERM;\n"
    "with exit code 1 when, in strict, something happened that a build must not learn of.\n";

/// "660": three or four octal digits.
std::string check_mode(const std::string& text) {
  const bool octal = text.size() >= 3 && text.size() <= 4 &&
                     text.find_first_not_of("01234567") == std::string::npos;
  return octal ? std::string() : "a mode in octal digits is wanted, such as 660";
}

}  // namespace

tl::expected<Invocation, int> parse_command_line(int argc, char** argv) {
  Invocation invocation;
  PreBuildHook pre_build;
  SettleDebts settle;
  ShowLedger ledger;
  Proxy proxy;
  long wait = 0;

  CLI::App app(description, "airlock");
  app.footer(footer);
  app.require_subcommand(1);
  app.set_version_flag("--version", std::string("airlock ") + AIRLOCK_VERSION);
  app.add_option("--config", invocation.config_file, "settings file")->capture_default_str();

  CLI::App* hooks = app.add_subcommand("hook", "what nix-daemon runs around a build");
  hooks->footer(hook_help);
  hooks->require_subcommand(1);
  CLI::App* before = hooks->add_subcommand("pre-build", "announce a sandbox, print its view");
  before->add_option("DERIVATION", pre_build.derivation, "full path of the .drv")->required();
  before->add_option("CHROOT", pre_build.chroot, "the sandbox's root folder");
  before->callback([&] { invocation.action = pre_build; });
  CLI::App* after = hooks->add_subcommand(
      "post-build", "register references (environment: DRV_PATH, NIX_CONFIG)");
  after->callback([&] { invocation.action = PostBuildHook{}; });

  CLI::App* settling = app.add_subcommand("settle", "register what a crash left unregistered");
  settling->footer(settle_help);
  settling->add_option("--derivation", settle.derivation, "only this one: name or path of a .drv");
  settling->callback([&] { invocation.action = settle; });

  CLI::App* asking = app.add_subcommand("status", "whether builds can be served");
  asking->footer(status_help);
  asking->add_option("--wait", wait, "wait so many seconds for it")->check(CLI::Range(0, 86400));
  asking->callback([&] { invocation.action = Status{std::chrono::seconds(wait)}; });

  CLI::App* showing = app.add_subcommand("ledger", "who asked for what");
  showing->footer(ledger_help);
  showing->add_flag("--json", ledger.json, "for programs");
  showing->add_option("--session", ledger.session, "only this session, by its number");
  showing->add_option("--derivation", ledger.derivation, "only sessions of this .drv");
  showing->callback([&] { invocation.action = ledger; });

  CLI::App* serving = app.add_subcommand("proxy", "a mediator on a plain socket");
  serving->footer(proxy_help);
  serving->add_option("--listen", proxy.listen, "the socket to make")->required();
  serving->add_option("--upstream", proxy.upstream,
                      "the daemon's socket (default: the configured)");
  std::string profile = "strict";
  serving->add_option("--profile", profile, "strict or observe")
      ->check(CLI::IsMember({"strict", "observe"}))
      ->capture_default_str();
  serving->add_option("--root", proxy.roots, "store paths whose closure is visible at first");
  std::string mode = "600";
  serving->add_option("--mode", mode, "who may connect, as a mode of the socket")
      ->check(check_mode)
      ->capture_default_str();
  serving->add_option("--record", proxy.record,
                      "append every operation to this file, - for stdout");
  serving->add_flag("--verbose", proxy.verbose, "say why connections ended");
  serving->callback([&] {
    proxy.observe = profile == "observe";
    proxy.mode = static_cast<mode_t>(std::stoul(mode, nullptr, 8));
    invocation.action = proxy;
  });

  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() != static_cast<int>(CLI::ExitCodes::Success)) {
      complain(std::string(error.what()) + " (airlock --help lists what there is)");
      return tl::make_unexpected<int>(usage);
    }
    return tl::make_unexpected(app.exit(error));  // help or version: prints it
  }
  return invocation;
}

}  // namespace airlock::command
