#include "daemon/fetch/server.hpp"

#include <fmt/format.h>
#include <poll.h>
#include <spdlog/spdlog.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <new>
#include <vector>

#include "daemon/fetch/work.hpp"
#include "daemon/wire/fd_stream.hpp"

namespace airlock::fetch {

namespace {

constexpr std::chrono::seconds stall{60};

Done fetch(const Request& request, const std::string& folder, const FetchConfig& config,
           const std::function<Sink&()>& begin) {
  bool begun = false;
  try {
    return fetch_into(request, folder, config, [&]() -> Sink& {
      begun = true;
      return begin();
    });
  } catch (const std::bad_alloc&) {
    if (begun) throw;
    return tl::unexpected(
        fmt::format("cannot fetch {}: {}", request.origin.print(), out_of_memory(config)));
  }
}

/// Answers one request; runs in the process that is there for it.
void answer(int socket, const Config& config, const std::string& folder) {
  wire::FdSource source(socket, stall);
  wire::FdSink sink(socket, config.limits.stall);
  wire::Reader reader(source, config.layout, {64 * 1024, 1});
  wire::Writer writer(sink, config.layout);
  wire::FramedSink frames(writer);
  const auto request = Request::decode(reader);
  const auto done = fetch(request, folder, config.fetch, [&]() -> Sink& {
    begin_content(writer);
    return frames;
  });
  if (done) {
    frames.finish();
    spdlog::info("fetched {}", request.origin.print());
  } else {
    send_failure(writer, done.error());
    spdlog::warn("{}", done.error());
  }
  writer.flush();
}

void limit(__rlimit_resource what, std::uint64_t most) {
  const rlimit both{most, most};
  ::setrlimit(what, &both);
}

/// What counts against RLIMIT_DATA: memory of its own that can be written to. Not RLIMIT_AS, which
/// would count the files that git maps, and what allocators set aside and do not use.
std::uint64_t memory_now() {
  std::ifstream pages("/proc/self/statm");
  std::uint64_t number = 0;
  for (int field = 0; field < 6; ++field) pages >> number;
  return number * static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
}

[[noreturn]] void be_job(Fd socket, const Config& config, const std::string& folder, pid_t parent) {
  ::setpgid(0, 0);
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (::getppid() != parent) ::_exit(1);
  sigset_t none;
  sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  limit(RLIMIT_CORE, 0);
  ::signal(SIGXFSZ, SIG_IGN);  // also for git: an error that can be told, not an end without a word
  limit(RLIMIT_DATA, memory_now() + config.fetch.max_memory);
  limit(RLIMIT_FSIZE, config.fetch.max_bytes + (64 << 20));
  ::alarm(static_cast<unsigned>(config.fetch.timeout.count() + 10));
  try {
    answer(socket.get(), config, folder);
  } catch (const std::exception& failure) {
    spdlog::warn("a fetch broke off: {}", failure.what());
    ::_exit(1);
  }
  ::_exit(0);
}

const char* cause_of(int signal) {
  switch (signal) {
    case SIGALRM:
      return ", after the time that fetch.timeout gives it";
    case SIGKILL:
      return ", as the kernel does when the machine has no memory left";
    default:
      return "";
  }
}

Fd catch_signals() {
  sigset_t signals;
  sigemptyset(&signals);
  for (const int signal : {SIGTERM, SIGINT, SIGCHLD}) sigaddset(&signals, signal);
  ::sigprocmask(SIG_BLOCK, &signals, nullptr);
  return Fd(::signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK));
}

}  // namespace

void Server::run() {
  const auto signals = catch_signals();
  for (bool stopping = false; !stopping;) {
    std::vector<pollfd> waiting{{signals.get(), POLLIN, 0}};
    waiting.push_back({jobs_.size() < most_at_once ? listening_.get() : -1, POLLIN, 0});
    for (const auto& [job, details] : jobs_)
      waiting.push_back({details.socket.get(), POLLRDHUP, 0});
    if (::poll(waiting.data(), waiting.size(), -1) < 0) continue;
    std::map<pid_t, short> events;
    auto event = waiting.begin() + 2;
    for (const auto& [job, details] : jobs_) events[job] = (event++)->revents;
    give_up_unwanted(events);
    signalfd_siginfo signal{};
    while (::read(signals.get(), &signal, sizeof signal) == sizeof signal)
      stopping = stopping || signal.ssi_signo != SIGCHLD;
    reap();
    if (!stopping && (waiting[1].revents & POLLIN) != 0) accept_one();
  }
  for (const auto& [job, details] : jobs_) ::kill(-job, SIGKILL);
  while (!jobs_.empty()) {
    const auto job = ::waitpid(-1, nullptr, 0);
    if (job > 0) end(job);
    if (job < 0 && errno != EINTR) return;
  }
}

void Server::accept_one() {
  Fd socket(::accept4(listening_.get(), nullptr, nullptr, SOCK_CLOEXEC));
  if (!socket) return;
  ucred peer{};
  socklen_t size = sizeof peer;
  if (::getsockopt(socket.get(), SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0 ||
      peer.uid != client_) {
    spdlog::warn("user {} asked for something, and only airlockd may", peer.uid);
    return;
  }
  start(std::move(socket));
}

void Server::start(Fd socket) {
  const auto folder = fmt::format("{}/{}", working_, ++count_);
  if (::mkdir(folder.c_str(), 0700) != 0) {
    spdlog::error("cannot make {}: {}", folder, std::strerror(errno));
    return;
  }
  const auto parent = ::getpid();
  const auto job = ::fork();
  if (job == 0) {
    listening_.reset();
    jobs_.clear();
    be_job(std::move(socket), config_, folder, parent);
  }
  if (job < 0) {
    spdlog::error("cannot start a process: {}", std::strerror(errno));
    ::rmdir(folder.c_str());
    return;
  }
  ::setpgid(job, job);
  jobs_.emplace(job, Job{std::move(socket), folder});
}

void Server::give_up_unwanted(const std::map<pid_t, short>& events) {
  for (const auto& [job, event] : events) {
    if ((event & (POLLRDHUP | POLLHUP | POLLERR)) == 0) continue;
    ::kill(-job, SIGKILL);
    jobs_.at(job).unwanted = true;
  }
}

void Server::reap() {
  for (;;) {
    // Not collected before what it may have started is ended: till then the number is its own.
    siginfo_t info{};
    if (::waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) != 0 || info.si_pid == 0) return;
    const auto job = jobs_.find(info.si_pid);
    if (info.si_code != CLD_EXITED && job != jobs_.end() && !job->second.unwanted)
      spdlog::warn("a fetch was ended by signal {}{}", info.si_status, cause_of(info.si_status));
    end(info.si_pid);
    ::waitpid(info.si_pid, nullptr, 0);
  }
}

void Server::end(pid_t job) {
  ::kill(-job, SIGKILL);
  const auto found = jobs_.find(job);
  if (found == jobs_.end()) return;
  std::error_code ignored;
  std::filesystem::remove_all(found->second.folder, ignored);
  if (ignored) spdlog::error("cannot remove {}: {}", found->second.folder, ignored.message());
  jobs_.erase(found);
}

}  // namespace airlock::fetch
