#include "daemon/fetch/repository.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstring>
#include <fstream>
#include <limits>
#include <vector>

#include "daemon/core/quote.hpp"
#include "fusefs/boundary/fd.hpp"

namespace airlock::fetch {

namespace {

using Clock = std::chrono::steady_clock;
using Words = std::vector<std::string>;

std::vector<char*> pointers(Words& words) {
  std::vector<char*> list;
  list.reserve(words.size() + 1);
  for (auto& word : words) list.push_back(word.data());
  list.push_back(nullptr);
  return list;
}

class Git {
 public:
  Git(std::string folder, const FetchConfig& config, const std::string& pinned)
      : config_(config), folder_(std::move(folder)), until_(Clock::now() + config.timeout) {
    std::string protocols;
    for (const auto& scheme : config.schemes)
      if (scheme != "path") protocols += (protocols.empty() ? "" : ":") + scheme;
    environment_ = {"PATH=/usr/local/bin:/usr/bin:/bin",
                    "HOME=" + folder_,
                    "LC_ALL=C",
                    "GIT_CONFIG_NOSYSTEM=1",
                    "GIT_CONFIG_GLOBAL=/dev/null",
                    "GIT_TERMINAL_PROMPT=0",
                    "GIT_ASKPASS=/bin/false",
                    "GIT_ALLOW_PROTOCOL=" + protocols,
                    "GIT_DIR="};
    use(folder_ + "/git");
    options_ = {"-c", "http.followRedirects=false", "-c", "http.proxy=",
                "-c", "core.hooksPath=/dev/null",   "-c", "gc.auto=0",
                "-c", "fetch.unpackLimit=1",        "-c", "safe.directory=*",
                "-c", "protocol.version=2",         "-c", "credential.helper="};
    if (!pinned.empty()) add_option("http.curloptResolve=" + pinned);
    if (!config.ca_file.empty()) add_option("http.sslCAInfo=" + config.ca_file);
  }

  /// From here on this repository.
  void use(const std::string& repository) { environment_.back() = "GIT_DIR=" + repository; }

  /// Runs git; its standard output goes to `to`. The error is what it said first: what follows from
  /// that it says afterwards. What to do is part of it.
  Done run(const Words& arguments, int to) {
    const auto said = folder_ + "/said";
    const Fd errors(::open(said.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
    Words words{"git"};
    words.insert(words.end(), options_.begin(), options_.end());
    words.insert(words.end(), arguments.begin(), arguments.end());
    auto argv = pointers(words);
    auto envp = pointers(environment_);
    const pid_t child = ::fork();
    if (child == 0) {
      ::dup2(to, STDOUT_FILENO);
      ::dup2(errors.get(), STDERR_FILENO);
      ::execvpe("git", argv.data(), envp.data());
      constexpr std::string_view missing = "fatal: it cannot be started: is git installed?\n";
      (void)!::write(STDERR_FILENO, missing.data(), missing.size());
      ::_exit(127);
    }
    if (child < 0)
      return tl::unexpected(fmt::format("git cannot be started: {}", std::strerror(errno)));
    const bool in_time = wait_for(child);
    if (!in_time) ::kill(child, SIGKILL);
    int status = -1;
    while (::waitpid(child, &status, 0) < 0 && errno == EINTR) continue;
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return {};
    if (!in_time) return tl::unexpected(too_slow());
    if (WIFSIGNALED(status))
      return tl::unexpected(
          fmt::format("git was ended by signal {}, as the kernel does when the machine has no "
                      "memory left; build again when it has",
                      WTERMSIG(status)));
    return tl::unexpected(complaint(said));
  }

 private:
  /// Whether it ends before the time of all commands together is over.
  [[nodiscard]] bool wait_for(pid_t child) const {
    const Fd ended(static_cast<int>(::syscall(SYS_pidfd_open, child, 0)));
    if (!ended) return true;
    pollfd polled{ended.get(), POLLIN, 0};
    for (;;) {
      const auto left = std::chrono::ceil<std::chrono::milliseconds>(until_ - Clock::now());
      if (left.count() <= 0) return false;
      const auto wait = std::min<std::int64_t>(left.count(), std::numeric_limits<int>::max());
      if (::poll(&polled, 1, static_cast<int>(wait)) > 0) return true;
    }
  }

  void add_option(std::string text) {
    options_.emplace_back("-c");
    options_.push_back(std::move(text));
  }

  [[nodiscard]] std::string too_slow() const {
    return fmt::format("it takes longer than {} s; raise fetch.timeout in {} if that is meant",
                       config_.timeout.count(), Config::default_file);
  }

  [[nodiscard]] std::string complaint(const std::string& file) const {
    std::ifstream stream(file);
    std::string line;
    for (int i = 0; i < 1000 && std::getline(stream, line); ++i) {
      if (!line.starts_with("fatal: ") && !line.starts_with("error: ")) continue;
      if (line.find(std::strerror(EFBIG)) != std::string::npos)
        return fmt::format(
            "it is larger than {} bytes; raise fetch.max-bytes in {} if that is meant",
            config_.max_bytes, Config::default_file);
      if (line.find("ut of memory") != std::string::npos ||
          line.find(std::strerror(ENOMEM)) != std::string::npos)
        return out_of_memory(config_);
      return fmt::format(
          "git says {}; correct the URL and the revision in its lock, or build again when they are "
          "there",
          quote(line.substr(7)));
    }
    return "git ended without a word; build again, or fetch it by hand to see why";
  }

  const FetchConfig& config_;
  std::string folder_;
  Words environment_;
  Words options_;
  Clock::time_point until_;
};

/// Attributes in the repository's own tree would have git leave files out and rewrite others.
Done ignore_attributes(const std::string& repository) {
  const auto info = repository + "/info";
  if (::mkdir(info.c_str(), 0700) != 0 && errno != EEXIST)
    return tl::unexpected(fmt::format("{} cannot be made: {}", info, std::strerror(errno)));
  std::ofstream file(info + "/attributes");
  file << "* !export-ignore !export-subst !text !eol !crlf !filter !ident !working-tree-encoding\n";
  if (!file.flush()) return tl::unexpected(fmt::format("{}/attributes cannot be written", info));
  return {};
}

}  // namespace

Done fetch_revision(const Origin& origin, const std::string& folder, int to,
                    const FetchConfig& config) {
  std::string pinned;
  if (origin.scheme() != "file") {
    auto addresses = resolve(origin.url, config);
    if (!addresses) return tl::unexpected(addresses.error());
    pinned = *std::move(addresses);
  }
  const auto failed = [&](const std::string& reason) {
    return tl::unexpected(fmt::format("cannot fetch {}: {}", origin.print(), reason));
  };
  Git git(folder, config, pinned);
  const Fd nowhere(::open("/dev/null", O_WRONLY | O_CLOEXEC));
  const auto format = origin.rev.size() == 64 ? "sha256" : "sha1";
  if (auto done = git.run({"init", "--quiet", "--bare", "--template=",
                           fmt::format("--object-format={}", format), folder + "/git"},
                          nowhere.get());
      !done)
    return failed(done.error());
  if (auto done = ignore_attributes(folder + "/git"); !done) return failed(done.error());
  const Words shallow{"fetch",        "--quiet",
                      "--no-tags",    "--no-recurse-submodules",
                      "--no-auto-gc", "--no-write-fetch-head",
                      "--depth=1",    origin.url,
                      origin.rev};
  if (!git.run(shallow, nowhere.get())) {
    // Not every server gives a revision by its name; what its branches and tags hold, they all do.
    // By clone, which writes their names into one file, however many a server says it has.
    git.use(folder + "/whole");
    if (auto all =
            git.run({"clone", "--quiet", "--bare", "--template=", origin.url, folder + "/whole"},
                    nowhere.get());
        !all)
      return failed(all.error());
    if (auto done = ignore_attributes(folder + "/whole"); !done) return failed(done.error());
  }
  if (!git.run({"cat-file", "-e", origin.rev + "^{tree}"}, nowhere.get()))
    return failed("the repository has no such revision; correct it in its lock");
  if (auto done = git.run({"archive", "--format=tar", origin.rev}, to); !done)
    return failed(done.error());
  return {};
}

}  // namespace airlock::fetch
