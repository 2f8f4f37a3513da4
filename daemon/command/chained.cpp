#include "daemon/command/chained.hpp"

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>

#include "daemon/command/text.hpp"
#include "fusefs/boundary/fd.hpp"

namespace airlock::command {

namespace {

constexpr std::size_t most_printed = 1 << 20;
constexpr int not_started = 127;  // as a shell says it

int status_of(pid_t pid) {
  int status = 0;
  while (::waitpid(pid, &status, 0) < 0 && errno == EINTR) {
  }
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

}  // namespace

std::string exec(const Chained& chained) {
  std::vector<char*> words{const_cast<char*>(chained.program.c_str())};
  for (const std::string& argument : chained.arguments)
    words.push_back(const_cast<char*>(argument.c_str()));
  words.push_back(nullptr);
  ::execv(chained.program.c_str(), words.data());
  return "cannot run " + chained.program + ": " + std::strerror(errno);
}

tl::expected<Ran, std::string> run(const Chained& chained) {
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0)
    return tl::make_unexpected(std::string("cannot make a pipe: ") + std::strerror(errno));
  const Fd reader{ends[0]};
  Fd writer{ends[1]};
  const pid_t pid = ::fork();
  if (pid < 0) return tl::make_unexpected(std::string("cannot fork: ") + std::strerror(errno));
  if (pid == 0) {
    ::dup2(writer.get(), STDOUT_FILENO);
    complain(exec(chained));
    ::_exit(not_started);
  }
  writer.reset();

  Ran ran;
  std::array<char, 4096> buffer{};
  for (;;) {
    const ssize_t got = ::read(reader.get(), buffer.data(), buffer.size());
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) break;
    if (ran.printed.size() < most_printed)
      ran.printed.append(buffer.data(), static_cast<std::size_t>(got));
  }
  ran.status = status_of(pid);
  return ran;
}

}  // namespace airlock::command
