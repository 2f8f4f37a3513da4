#include "fusefs/graft/store_mounts.hpp"

#include <linux/mount.h>
#include <sched.h>
#include <spdlog/spdlog.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <stdexcept>

#include "fusefs/kernel.hpp"

namespace airlock::fusefs {
namespace {

void require(bool ok, const std::string& what) {
  if (!ok) throw std::runtime_error(failure(what));
}

void set_flags(const std::string& folder, std::uint64_t set, std::uint64_t clear) {
  mount_attr attributes{};
  attributes.attr_set = set;
  attributes.attr_clr = clear;
  const long result =
      ::syscall(SYS_mount_setattr, AT_FDCWD, folder.c_str(), 0, &attributes, sizeof attributes);
  require(result == 0, "change the flags of the mount at " + folder);
}

Fd open_namespace(pid_t pid) {
  const auto path = "/proc/" + std::to_string(pid) + "/ns/mnt";
  Fd opened(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  require(opened.is_open(), "open " + path);
  return opened;
}

Fd open_folder(const std::string& path) {
  Fd opened(::open(path.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  require(opened.is_open(), "open " + path);
  return opened;
}

/// A copy of our mount namespace in which the flags that mounts have now are locked.
Fd make_locked_copy() {
  std::array<int, 2> pipe{};
  require(::pipe2(pipe.data(), O_CLOEXEC) == 0, "make a pipe");
  Fd ready(pipe[0]);
  Fd report(pipe[1]);
  const pid_t parent = ::getpid();
  const pid_t child = ::fork();
  require(child >= 0, "fork");
  if (child == 0) {
    // Where user namespaces are switched off nobody can unlock anything either.
    char result = 'l';
    if (::unshare(CLONE_NEWUSER | CLONE_NEWNS) != 0) {
      result = ::unshare(CLONE_NEWNS) == 0 ? 'u' : 'f';
    }
    // It must not stay behind, with all these mounts, when the helper is killed now.
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (::getppid() != parent) ::_exit(0);
    [[maybe_unused]] const auto written = ::write(report.get(), &result, 1);
    ::pause();
    ::_exit(0);
  }
  report.reset();
  char result = 'f';
  while (::read(ready.get(), &result, 1) < 0 && errno == EINTR) {
  }
  Fd opened;
  if (result != 'f') {
    const auto path = "/proc/" + std::to_string(child) + "/ns/mnt";
    opened = Fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  }
  ::kill(child, SIGKILL);
  ::waitpid(child, nullptr, 0);
  if (!opened) throw std::runtime_error("cannot make a mount namespace to take grafts from");
  if (result == 'u') {
    spdlog::warn("user namespaces are not available: grafts are read-only, but not locked");
  }
  return opened;
}

}  // namespace

StoreMounts make_store_mounts(const GraftSources& sources) {
  const auto& store_dir = sources.store_dir;
  StoreMounts mounts;
  require(::unshare(CLONE_NEWNS) == 0, "leave the host's mount namespace");
  // Slaves: the host's mounts go on arriving here and ours never reach the host.
  require(::mount(nullptr, "/", nullptr, MS_REC | MS_SLAVE, nullptr) == 0,
          "cut mount propagation to the host");
  require(::mount(store_dir.c_str(), store_dir.c_str(), nullptr, MS_BIND, nullptr) == 0,
          "bind the store at " + store_dir);
  constexpr std::uint64_t harmless = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV;
  set_flags(store_dir, MOUNT_ATTR_RDONLY | harmless, 0);
  mounts.own_namespace = open_namespace(::getpid());
  mounts.holder_namespace = make_locked_copy();
  set_flags(store_dir, harmless, MOUNT_ATTR_RDONLY);
  mounts.writable_store = open_folder(store_dir);
  require(::setns(mounts.holder_namespace.get(), CLONE_NEWNS) == 0, "enter the holder's namespace");
  mounts.locked_store = open_folder(store_dir);
  mounts.locked_view = open_folder(sources.view);
  require(::setns(mounts.own_namespace.get(), CLONE_NEWNS) == 0, "return from the holder");
  return mounts;
}

}  // namespace airlock::fusefs
