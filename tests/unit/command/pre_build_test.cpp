#include "daemon/command/pre_build.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>

#include "tests/unit/command/fake_filesystem.hpp"

namespace airlock::command {
namespace {

using boundary::Message;
using boundary::MessageType;
using boundary::Received;
using test::FakeFilesystem;
namespace fs = std::filesystem;

const std::string base = "0123456789abcdfghijklmnpqrsvwxyz-foo.drv";

struct Printed {
  int status = 0;
  std::string out, error;
};

/// A store folder with one derivation, a chroot folder, and hooks of the administrator's.
class World {
 public:
  World() {
    std::string name = "/tmp/airlock-pre-XXXXXX";
    folder_ = ::mkdtemp(name.data());
    fs::permissions(folder_, fs::perms(0755));
    fs::create_directories(folder_ / "store");
    fs::create_directories(folder_ / "root");
    config.layout.store_dir = folder_ / "store";
    config.sockets.run = "/nonexistent";
  }
  World(const World&) = delete;
  World& operator=(const World&) = delete;
  ~World() { fs::remove_all(folder_); }

  void derivation(const std::string& required, const std::string& more = "") const {
    std::ofstream(folder_ / "store" / base) << fmt::format(
        R"(Derive([("out","{}/0123456789abcdfghijklmnpqrsvwxyz-foo","","")],[],[],"x86_64-linux",)"
        R"("/bin/sh",[],[{}("requiredSystemFeatures","{}")]))",
        config.layout.store_dir, more, required);
  }
  void chain(const std::string& script) {
    config.pre_build_hook = folder_ / "hook";
    std::ofstream(config.pre_build_hook) << "#!/bin/sh\n" << script << "\n";
    fs::permissions(config.pre_build_hook, fs::perms(0755));
  }
  [[nodiscard]] std::string chroot() const { return folder_ / "root"; }

  /// Runs the hook in a child, as it may become another program.
  [[nodiscard]] Printed run(const std::string& chroot) const {
    const std::string out = folder_ / "stdout";
    const std::string error = folder_ / "stderr";
    const pid_t child = ::fork();
    if (child == 0) {
      ::dup2(::open(out.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600), STDOUT_FILENO);
      ::dup2(::open(error.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600), STDERR_FILENO);
      const Account account =
          ::geteuid() == 0 ? Account{65534, 65534} : Account{::geteuid(), ::getegid()};
      ::_exit(pre_build(config, account, {config.layout.store_dir + "/" + base, chroot}));
    }
    int status = 0;
    ::waitpid(child, &status, 0);
    return {WEXITSTATUS(status), read(out), read(error)};
  }
  [[nodiscard]] Printed run() const { return run(chroot()); }

  Config config;

 private:
  static std::string read(const std::string& file) {
    std::ifstream stream(file);
    return {std::istreambuf_iterator<char>(stream), {}};
  }
  fs::path folder_;
};

/// With a folder that this process, the hook's parent here, can see.
FakeFilesystem::Answer announced(const std::string& folder = "/proc") {
  return [folder](const Received& received) {
    const bool right = received.message.type == MessageType::announce &&
                       received.message.strings == std::vector<std::string>{base} &&
                       (::fcntl(received.descriptor.get(), F_GETFL) & O_PATH) != 0;
    return Message{.type = right ? MessageType::announced : MessageType::refused,
                   .strings = {folder}};
  };
}

TEST_CASE("a derivation that does not ask costs nothing and needs nothing") {
  World world;
  world.derivation("kvm");
  auto printed = world.run();
  CHECK(printed.status == 0);
  CHECK(printed.out.empty());
  CHECK(printed.error.empty());

  world.chain("echo extra-sandbox-paths; echo /a=$1; echo $2 >&2; exit 5");
  printed = world.run();
  CHECK(printed.status == 5);
  CHECK(printed.out ==
        "extra-sandbox-paths\n/a=" + world.config.layout.store_dir + "/" + base + "\n");
  CHECK(printed.error == world.chroot() + "\n");
}

TEST_CASE("a view that nix-daemon cannot see is refused, with what to do") {
  World world;
  const FakeFilesystem fake(announced("/no/such/folder"));
  world.config.sockets = fake.sockets();
  world.derivation("airlock");
  CHECK_THAT(world.run().out, Catch::Contains("nix-daemon cannot see /no/such/folder"));
}

TEST_CASE("one that asks is announced, and the view is printed after another hook's paths") {
  World world;
  const FakeFilesystem fake(announced());
  world.config.sockets = fake.sockets();
  world.derivation("airlock");
  auto printed = world.run();
  CHECK(printed.error.empty());
  CHECK(printed.status == 0);
  CHECK(printed.out == "extra-sandbox-paths\n/nix/var=/proc\n\n");

  world.chain("echo extra-sandbox-paths; echo /a");
  CHECK(world.run().out == "extra-sandbox-paths\n/a\n/nix/var=/proc\n\n");

  world.chain("echo no >&2; exit 9");
  printed = world.run();
  CHECK(printed.status == 9);
  CHECK(printed.out.empty());
}

TEST_CASE("on request the view's nix.conf is mounted where clients look for it") {
  World world;
  const FakeFilesystem fake(announced());
  world.config.sockets = fake.sockets();
  world.derivation("airlock", R"(("airlockEtcNix","1"),)");
  CHECK(world.run().out ==
        "extra-sandbox-paths\n/nix/var=/proc\n\n"
        "extra-sandbox-paths\n/etc/nix=/proc/airlock/etc\n\n");
  world.derivation("kvm", R"(("airlockEtcNix","1"),)");
  CHECK(world.run().out.empty());
}

TEST_CASE("one that asks while airlock-fs is down is told what to start") {
  World world;
  world.derivation("airlock");
  const auto printed = world.run();
  CHECK(printed.status == 0);  // what is printed fails the build, and Nix shows it
  CHECK(printed.out == printed.error);
  CHECK(printed.error ==
        "airlock: this derivation requires airlock, but airlock-fs is not running: start it "
        "(systemctl start airlock-fs) and build again\n");
}

TEST_CASE("a refusal is the sentence that airlock-fs gives") {
  World world;
  const FakeFilesystem fake([](const Received&) {
    return Message{.type = MessageType::refused, .strings = {"airlockd is not connected"}};
  });
  world.config.sockets = fake.sockets();
  world.derivation("airlock");
  const auto printed = world.run();
  CHECK(printed.status == 0);
  CHECK(printed.out == printed.error);
  CHECK(printed.error == "airlock: airlockd is not connected\n");
}

TEST_CASE("without a sandbox, or with a root that is none, asking fails") {
  World world;
  world.derivation("airlock");
  CHECK_THAT(world.run("").error, Catch::Contains("set 'sandbox = true'"));
  fs::create_symlink(world.chroot(), world.chroot() + ".link");
  CHECK_THAT(world.run(world.chroot() + ".link").error,
             Catch::Contains("cannot open the sandbox's root"));
  fs::remove(world.chroot() + ".link");
}

}  // namespace
}  // namespace airlock::command
