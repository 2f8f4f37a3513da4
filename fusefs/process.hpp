#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "fusefs/boundary/fd.hpp"

namespace airlock::fusefs {

/// A process that cannot be mistaken for a later one with the same number.
struct ProcessStamp {
  pid_t pid = 0;
  std::uint64_t start_time = 0;  ///< clock ticks since boot, field 22 of /proc/PID/stat

  bool operator==(const ProcessStamp&) const = default;
};

/// What /proc/PID/status says about where a process stands.
struct ProcessStatus {
  pid_t parent = 0;
  /// Its number in every pid namespace from the one /proc was mounted in down to its own.
  std::vector<pid_t> numbers;
  pid_t process = 0;  ///< of a thread: the process it belongs to

  bool operator==(const ProcessStatus&) const = default;
};

/// Pure: the text of /proc/PID/status and of /proc/PID/stat. Nothing when a field is missing.
[[nodiscard]] std::optional<ProcessStatus> parse_status(std::string_view text);
[[nodiscard]] std::optional<std::uint64_t> parse_start_time(std::string_view text);

[[nodiscard]] std::optional<ProcessStatus> status_of(pid_t pid);
[[nodiscard]] std::optional<ProcessStamp> stamp_of(pid_t pid);

/// Not open when there is no such process.
[[nodiscard]] Fd open_process(pid_t pid);
/// Like open_process; not open either when the number belongs to another process by now.
[[nodiscard]] Fd open_process(const ProcessStamp& stamp);
/// The number of the process behind a pidfd; 0 when it is gone or not visible in our pid namespace.
[[nodiscard]] pid_t pid_of(int pidfd);
/// False as soon as the process has ended, reaped or not.
[[nodiscard]] bool is_alive(int pidfd);
bool send_kill(int pidfd);

/// The process that started this one and waits for it, held; 0 and not open when it is gone. Who
/// has lost its parent is a child of process 1's, which waits for everybody.
struct Parent {
  Fd process;
  pid_t pid = 0;
};
[[nodiscard]] Parent parent_of(pid_t pid);

/// Our children's numbers, or another process's. Without CONFIG_PROC_CHILDREN: nothing.
[[nodiscard]] std::vector<pid_t> children_of(pid_t pid);
/// Every process that /proc lists.
[[nodiscard]] std::vector<pid_t> all_processes();

/// A small file of /proc, at most 64 KiB of it.
[[nodiscard]] std::optional<std::string> read_small_file(const std::string& path);

}  // namespace airlock::fusefs
