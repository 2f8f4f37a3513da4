#include "fusefs/caller.hpp"

#include <linux/nsfs.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <stdexcept>

namespace airlock::fusefs {
namespace {

#ifndef SO_PEERPIDFD
constexpr int SO_PEERPIDFD = 77;  // Linux 6.5; in no libc of Debian 12
#endif

/// A pid namespace may be 32 levels below the first one (MAX_PID_NS_LEVEL).
constexpr int max_namespace_levels = 32;
/// Longer chains of parents than this are not walked: the answer is no.
constexpr int max_parents = 4096;

Fd open_namespace(pid_t pid) {
  const auto path = "/proc/" + std::to_string(pid) + "/ns/pid";
  return Fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
}

std::optional<FileIdentity> root_of(pid_t pid) {
  const auto path = "/proc/" + std::to_string(pid) + "/root";
  const Fd root(::open(path.c_str(), O_PATH | O_CLOEXEC));
  return root ? identity_of(root.get()) : std::nullopt;
}

tl::unexpected<std::string> no(const char* sentence) {
  return tl::unexpected<std::string>(sentence);
}

}  // namespace

CallerCheck::CallerCheck(bool use_peerpidfd) : use_peerpidfd_(use_peerpidfd), own_levels_(0) {
  const Fd own = open_namespace(::getpid());
  const auto identity = own ? identity_of(own.get()) : std::nullopt;
  const auto status = status_of(::getpid());
  if (!identity || !status) {
    throw std::runtime_error(
        "/proc does not show this process: mount the /proc of this pid namespace");
  }
  own_namespace_ = *identity;
  own_levels_ = status->numbers.size();
}

tl::expected<Peer, std::string> CallerCheck::peer_of(int socket) const {
  if (use_peerpidfd_) {
    int pidfd = -1;
    socklen_t size = sizeof pidfd;
    if (::getsockopt(socket, SOL_SOCKET, SO_PEERPIDFD, &pidfd, &size) == 0) {
      Fd process(pidfd);
      const pid_t pid = pid_of(process.get());
      if (pid == 0) return no("the calling process is gone");
      return Peer{std::move(process), pid};
    }
    if (errno != ENOPROTOOPT) return no("the calling process is gone");
  }
  // Before Linux 6.5 the kernel tells a number only, which a later process may have by now. A
  // socket of a session can be connected only from inside its sandbox, so the later process would
  // have to be in it as well to be taken for the first: no worse than that one calling itself.
  ucred credentials{};
  socklen_t size = sizeof credentials;
  if (::getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &credentials, &size) != 0) {
    return no("the descriptor is no connected unix socket");
  }
  const auto stamp = stamp_of(credentials.pid);
  if (!stamp) return no("the calling process is gone");
  Fd process = open_process(*stamp);
  if (!process) return no("the calling process is gone");
  return Peer{std::move(process), stamp->pid};
}

tl::expected<Fd, std::string> CallerCheck::outermost_namespace(const Peer& peer) const {
  Fd current = open_namespace(peer.pid);
  // While the pidfd's process lives, what was opened by its number was its own.
  if (!current || !is_alive(peer.process.get())) return no("the calling process is gone");
  return climb(std::move(current));
}

tl::expected<Peer, std::string> CallerCheck::process_of_waiting(pid_t thread) const {
  const auto status = status_of(thread);
  Fd process = status ? open_process(status->process) : Fd();
  if (!process) return no("the calling process is gone");
  return Peer{std::move(process), status->process};
}

tl::expected<Fd, std::string> CallerCheck::outermost_namespace_of_waiting(pid_t thread) const {
  // 0: it is in no pid namespace that this process can see into.
  Fd current = thread > 0 ? open_namespace(thread) : Fd();
  if (!current) return no("the calling thread is not to be seen");
  return climb(std::move(current));
}

tl::expected<Fd, std::string> CallerCheck::climb(Fd current) const {
  if (identity_of(current.get()) == own_namespace_) return no("the caller is in no sandbox");
  for (int level = 0; level < max_namespace_levels; ++level) {
    Fd parent(::ioctl(current.get(), NS_GET_PARENT));
    if (!parent) return no("the caller's pid namespace is not below this one");
    if (identity_of(parent.get()) == own_namespace_) return current;
    current = std::move(parent);
  }
  return no("the caller's pid namespace is nested too deeply");
}

tl::expected<FirstProcess, std::string> CallerCheck::first_process(const Peer& peer,
                                                                   Fd pid_namespace) const {
  const auto wanted = identity_of(pid_namespace.get());
  pid_t pid = peer.pid;
  // Parents come and go while this walks, so where it arrives is only a guess; what makes it the
  // first process is being number 1 of the very namespace that the peer's pidfd led to.
  for (int step = 0; step < max_parents && pid > 0; ++step) {
    const auto status = status_of(pid);
    if (!status || status->numbers.size() <= own_levels_) break;
    if (is_first_of_child_namespace(*status)) {
      auto first = examine(pid);
      if (!first || first->namespace_identity != wanted) break;
      return std::move(*first);
    }
    pid = status->parent;
  }
  return no("the sandbox's first process was not found");
}

std::optional<FirstProcess> CallerCheck::first_process(const ProcessStamp& stamp) const {
  auto first = examine(stamp.pid);
  if (!first || first->stamp != stamp) return std::nullopt;
  return first;
}

std::vector<FirstProcess> CallerCheck::all_first_processes() const {
  std::vector<FirstProcess> all;
  for (const pid_t pid : all_processes()) {
    const auto status = status_of(pid);
    if (!status || !is_first_of_child_namespace(*status)) continue;
    if (auto first = examine(pid)) all.push_back(std::move(*first));
  }
  return all;
}

std::optional<FirstProcess> CallerCheck::find_first_process(FileIdentity root, pid_t worker,
                                                            bool search_everywhere) const {
  const auto candidates = search_everywhere ? all_processes() : children_of(worker);
  for (const pid_t pid : candidates) {
    const auto status = status_of(pid);
    if (!status || !is_first_of_child_namespace(*status)) continue;
    auto first = examine(pid);
    if (first && first->root == root) return first;
  }
  return std::nullopt;
}

bool CallerCheck::is_first_of_child_namespace(const ProcessStatus& status) const {
  return status.numbers.size() == own_levels_ + 1 && status.numbers.back() == 1;
}

std::optional<FirstProcess> CallerCheck::examine(pid_t pid) const {
  const auto stamp = stamp_of(pid);
  if (!stamp) return std::nullopt;
  Fd process = open_process(*stamp);
  Fd pid_namespace = open_namespace(pid);
  if (!process || !pid_namespace) return std::nullopt;
  const auto namespace_identity = identity_of(pid_namespace.get());
  const auto root = root_of(pid);
  const auto status = status_of(pid);
  // Everything above was read by number; it was all of this process if it still lives.
  if (!namespace_identity || !root || !status || !is_alive(process.get())) return std::nullopt;
  if (!is_first_of_child_namespace(*status)) return std::nullopt;
  return FirstProcess{std::move(process), std::move(pid_namespace), *stamp, *namespace_identity,
                      *root};
}

}  // namespace airlock::fusefs
