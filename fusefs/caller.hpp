#pragma once

#include <optional>
#include <string>
#include <tl/expected.hpp>
#include <vector>

#include "fusefs/boundary/fd.hpp"
#include "fusefs/kernel.hpp"
#include "fusefs/process.hpp"

namespace airlock::fusefs {

/// The first process of a sandbox: process 1 of a pid namespace that is a direct child of ours.
struct FirstProcess {
  Fd process;        ///< a pidfd
  Fd pid_namespace;  ///< held, since inode numbers are reused
  ProcessStamp stamp;
  FileIdentity namespace_identity;
  FileIdentity root;  ///< of its root folder when it was looked at
};

/// The process at the other end of a connected socket.
struct Peer {
  Fd process;  ///< a pidfd
  pid_t pid = 0;
};

/// Answers "who is calling" from what the kernel says of a process, never from a name: a builder
/// can make /proc show any path it likes, but not another pid namespace or another root folder.
/// Stateless apart from what the kernel was found to offer, and so thread-safe.
class CallerCheck {
 public:
  /// use_peerpidfd false: behave as on a kernel before 6.5.
  explicit CallerCheck(bool use_peerpidfd);

  /// Who connected the socket. The error is one sentence.
  [[nodiscard]] tl::expected<Peer, std::string> peer_of(int socket) const;

  /// The process of a thread that waits for an answer of this process: it cannot end before it has
  /// the answer, so its number is nobody else's meanwhile.
  [[nodiscard]] tl::expected<Peer, std::string> process_of_waiting(pid_t thread) const;

  /// The outermost pid namespace below ours that such a thread is in.
  [[nodiscard]] tl::expected<Fd, std::string> outermost_namespace_of_waiting(pid_t thread) const;

  /// The outermost pid namespace below ours that the process is in: what a sandbox is known by.
  [[nodiscard]] tl::expected<Fd, std::string> outermost_namespace(const Peer& peer) const;

  /// The first process of that namespace, found by walking up from the peer.
  [[nodiscard]] tl::expected<FirstProcess, std::string> first_process(const Peer& peer,
                                                                      Fd pid_namespace) const;

  /// The process again that was a sandbox's first; nothing when it is gone.
  [[nodiscard]] std::optional<FirstProcess> first_process(const ProcessStamp& stamp) const;

  /// The first process of every sandbox there is.
  [[nodiscard]] std::vector<FirstProcess> all_first_processes() const;

  /// The first process of the sandbox whose root is that folder: among the worker's children, or
  /// among all processes when search_everywhere. Nothing when there is none (yet).
  [[nodiscard]] std::optional<FirstProcess> find_first_process(FileIdentity root, pid_t worker,
                                                               bool search_everywhere) const;

 private:
  [[nodiscard]] tl::expected<Fd, std::string> climb(Fd pid_namespace) const;
  [[nodiscard]] bool is_first_of_child_namespace(const ProcessStatus& status) const;
  [[nodiscard]] std::optional<FirstProcess> examine(pid_t pid) const;

  bool use_peerpidfd_;
  FileIdentity own_namespace_;
  std::size_t own_levels_;  ///< how many numbers NSpid shows for us
};

}  // namespace airlock::fusefs
