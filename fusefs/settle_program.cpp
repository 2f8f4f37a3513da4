#include "fusefs/settle_program.hpp"

#include <poll.h>
#include <spawn.h>
#include <spdlog/spdlog.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <stdexcept>

#include "fusefs/kernel.hpp"
#include "fusefs/process.hpp"

namespace airlock::fusefs {
namespace {

/// 0 and errno when it could not be started.
pid_t spawn(const std::string& program, const std::string& derivation) {
  std::string name = program;
  std::string command = "settle";
  std::string option = "--derivation";
  std::string base = derivation;
  const std::array<char*, 5> arguments{name.data(), command.data(), option.data(), base.data(),
                                       nullptr};
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  sigset_t none;
  sigemptyset(&none);
  posix_spawnattr_setsigmask(&attributes, &none);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK);
  pid_t pid = 0;
  const int error =
      ::posix_spawn(&pid, program.c_str(), nullptr, &attributes, arguments.data(), environ);
  posix_spawnattr_destroy(&attributes);
  errno = error;
  return error == 0 ? pid : 0;
}

}  // namespace

SettleProgram::SettleProgram(EventLoop& loop, std::string program)
    : loop_(loop), program_(std::move(program)) {
  if (!program_.empty() && ::access(program_.c_str(), X_OK) != 0)
    throw std::runtime_error(failure("run " + program_ + ", the --settle-program"));
}

SettleProgram::~SettleProgram() {
  // They are left to finish: what they do is a transaction, and nobody else would do it now.
  for (const auto& [pid, run] : running_) loop_.forget(run.process.get());
}

void SettleProgram::run(const StorePath& derivation, std::function<void()> done) {
  if (program_.empty()) {
    loop_.after(std::chrono::milliseconds(0), std::move(done));
    return;
  }
  const pid_t pid = spawn(program_, derivation.base());
  if (pid == 0) {
    spdlog::error("{}: cannot run {}: {}", derivation.base(), program_, std::strerror(errno));
    loop_.after(std::chrono::milliseconds(0), std::move(done));
    return;
  }
  Run& run = running_[pid];
  run.process = open_process(pid);  // our child: its number is kept until it is waited for
  run.derivation = derivation.base();
  run.done = std::move(done);
  run.timer = loop_.after(deadline, [this, pid] {
    spdlog::error("{}: {} took too long and is killed", running_.at(pid).derivation, program_);
    ::kill(pid, SIGKILL);
  });
  loop_.watch(run.process.get(), POLLIN, [this, pid](short) { on_end(pid); });
}

void SettleProgram::on_end(pid_t pid) {
  int status = 0;
  while (::waitpid(pid, &status, 0) < 0 && errno == EINTR) {
  }
  const auto node = running_.extract(pid);
  const Run& run = node.mapped();
  loop_.forget(run.process.get());
  loop_.cancel(run.timer);
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0) {
    spdlog::info("{}: settled after its worker was gone", run.derivation);
  } else {
    spdlog::error("{}: {} settle failed (status {})", run.derivation, program_, status);
  }
  run.done();
}

}  // namespace airlock::fusefs
