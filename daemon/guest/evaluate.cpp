#include "daemon/guest/evaluate.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "daemon/guest/surroundings.hpp"
#include "fusefs/boundary/fd.hpp"

namespace airlock::guest {
namespace {

int fail(const std::string& sentence) {
  std::fputs(fmt::format("airlock evaluate: {}\n", sentence).c_str(), stderr);
  return 1;
}

/// What `airlock/env` sets for a shell.
void set_environment(const StoreLayout& layout) {
  const auto view = view_of(layout);
  const char* temporary = std::getenv("TMPDIR");
  const auto home = std::string(temporary == nullptr ? "/tmp" : temporary) + "/airlock-home";
  ::mkdir(home.c_str(), 0700);
  ::setenv("HOME", home.c_str(), 1);
  ::setenv("XDG_CACHE_HOME", (home + "/.cache").c_str(), 1);
  ::setenv("NIX_REMOTE", "daemon", 1);
  ::setenv("NIX_CONF_DIR", (view + "/airlock").c_str(), 1);
}

std::string read_all(int fd) {
  std::string text;
  char buffer[16 * 1024];
  for (;;) {
    const auto n = ::read(fd, buffer, sizeof buffer);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return text;
    text.append(buffer, static_cast<std::size_t>(n));
  }
}

bool write_all(int fd, std::string_view text) {
  while (!text.empty()) {
    const auto n = ::write(fd, text.data(), text.size());
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return false;
    text.remove_prefix(static_cast<std::size_t>(n));
  }
  return true;
}

}  // namespace

int evaluate(std::vector<std::string> words) {
  const char* out = std::getenv("out");
  if (words.empty() || out == nullptr)
    return fail("it is the builder of an evaluation and is not called otherwise");
  set_environment(StoreLayout::from_environment());
  std::vector<char*> argv;
  argv.reserve(words.size() + 1);
  for (auto& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return fail(std::strerror(errno));
  const Fd from(ends[0]);
  Fd to(ends[1]);
  const auto child = ::fork();
  if (child < 0) return fail(std::strerror(errno));
  if (child == 0) {
    ::dup2(to.get(), STDOUT_FILENO);
    ::execv(argv[0], argv.data());
    std::_Exit(fail(fmt::format("cannot run {}: {}", words.front(), std::strerror(errno))));
  }
  to.reset();
  const auto derivations = read_all(from.get());
  int status = 0;
  while (::waitpid(child, &status, 0) < 0)
    if (errno != EINTR) return fail(std::strerror(errno));
  if (!WIFEXITED(status)) return fail(words.front() + " was ended by a signal");
  if (WEXITSTATUS(status) != 0) return WEXITSTATUS(status);
  const Fd file(::open(out, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644));
  if (!file || !write_all(file.get(), derivations))
    return fail(fmt::format("cannot write {}: {}", out, std::strerror(errno)));
  return 0;
}

}  // namespace airlock::guest
