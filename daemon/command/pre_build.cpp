#include "daemon/command/pre_build.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstring>
#include <thread>

#include "daemon/command/chained.hpp"
#include "daemon/command/demand.hpp"
#include "daemon/command/filesystem.hpp"
#include "daemon/command/sandbox_paths.hpp"
#include "daemon/command/text.hpp"

namespace airlock::command {

namespace {

using boundary::Message;
using boundary::MessageType;

// A hook holds a build user while it waits.
constexpr std::chrono::seconds patience{15};
/// For another airlock-fs to be there after one that ended.
constexpr std::chrono::seconds comeback{5};
constexpr std::chrono::milliseconds retry_delay{100};

/// Where a client inside looks for nix.conf when nothing tells it otherwise.
constexpr const char* nix_conf_target = "/etc/nix";

/// The folder that holds the state folder: /nix/var. A client inside looks for nix/… below it.
std::string view_target(const StoreLayout& layout) {
  const auto slash = layout.state_dir.rfind('/');
  return slash == 0 || slash == std::string::npos ? layout.state_dir
                                                  : layout.state_dir.substr(0, slash);
}

/// nix-daemon takes a mount namespace of its own when it starts, and gives its hooks back the one
/// before; what the worker, our parent, does not see it cannot bind.
bool worker_sees(const std::string& folder) {
  const auto name = "/proc/" + std::to_string(::getppid()) + "/root" + folder;
  return ::access(name.c_str(), F_OK) == 0;
}

/// One that has served since the machine was started may be on its way up again.
tl::expected<Message, NoAnswer> ask_when_it_is_back(const Config& config, const Message& question,
                                                    int descriptor) {
  const auto end = std::chrono::steady_clock::now() + comeback;
  const auto served = config.sockets.private_folder() + "/views";
  for (;;) {
    auto answer = ask_filesystem(config.sockets, question, descriptor, patience);
    if (answer || !answer.error().down || ::access(served.c_str(), F_OK) != 0) return answer;
    if (std::chrono::steady_clock::now() >= end) return answer;
    std::this_thread::sleep_for(retry_delay);
  }
}

/// Makes the sandbox known. The value is the folder to bind, the error a sentence for the user.
tl::expected<std::string, std::string> announce(const Config& config, const StorePath& derivation,
                                                const std::string& chroot) {
  const Fd root{::open(chroot.c_str(), O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)};
  if (!root)
    return tl::make_unexpected("cannot open the sandbox's root " + chroot + ": " +
                               std::strerror(errno));
  const Message message{.type = MessageType::announce, .strings = {derivation.base()}};
  const auto answer = ask_when_it_is_back(config, message, root.get());
  if (!answer && answer.error().down)
    return tl::make_unexpected(
        std::string("this derivation requires airlock, but airlock-fs is not running: start it "
                    "(systemctl start airlock-fs) and build again"));
  if (!answer)
    return tl::make_unexpected("this derivation requires airlock: " + answer.error().sentence);
  if (answer->type == MessageType::refused && answer->strings.size() == 1)
    return tl::make_unexpected(answer->strings[0]);
  if (answer->type != MessageType::announced || answer->strings.size() != 1)
    return tl::make_unexpected(
        std::string("airlock-fs gave an answer of another kind: are it and this hook of the same "
                    "version?"));
  const auto& folder = answer->strings[0];
  if (!worker_sees(folder))
    return tl::make_unexpected("nix-daemon cannot see " + folder +
                               ": it has a mount namespace of its own, made before airlock-fs "
                               "mounted; make / a shared mount (mount --make-rshared /) or start "
                               "nix-daemon after airlock-fs, and build again");
  return folder;
}

}  // namespace

int refuse_build(const std::string& sentence) {
  complain(sentence);  // for nix-daemon's log
  put(STDOUT_FILENO, "airlock: " + one_line(sentence) + "\n");
  return success;
}

int pre_build(const Config& config, const Account& account, const PreBuild& build) {
  const auto derivation = config.layout.parse(build.derivation);
  if (!derivation) return refuse_build(derivation.error());
  const auto asking = derivation_asks(config, account, build.derivation);
  if (!asking) return refuse_build(asking.error());

  Chained chained{config.pre_build_hook, {build.derivation}};
  if (!build.chroot.empty()) chained.arguments.push_back(build.chroot);
  if (*asking == Demand::nothing)
    return chained.program.empty() ? success : refuse_build(exec(chained));
  if (build.chroot.empty())
    return refuse_build(
        "this derivation requires airlock, which needs Nix's sandbox: set 'sandbox = true' "
        "in nix.conf");

  std::string printed;
  if (!chained.program.empty()) {
    auto ran = run(chained);
    if (!ran) return refuse_build(ran.error());
    printed = std::move(ran->printed);
    if (ran->status != 0) {
      put(STDOUT_FILENO, printed);
      return ran->status;
    }
  }
  const auto folder = announce(config, *derivation, build.chroot);
  if (!folder) return refuse_build(folder.error());
  printed = with_sandbox_path(printed, view_target(config.layout), *folder);
  if (*asking == Demand::view_and_etc)
    printed = with_sandbox_path(printed, nix_conf_target, *folder + "/airlock/etc");
  put(STDOUT_FILENO, printed);
  return success;
}

}  // namespace airlock::command
