#include "fusefs/process.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/syscall.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <csignal>
#include <memory>
#include <utility>

namespace airlock::fusefs {
namespace {

template <typename T>
std::optional<T> parse_number(std::string_view text) {
  T value{};
  const auto result = std::from_chars(text.data(), text.data() + text.size(), value);
  if (result.ec != std::errc() || result.ptr != text.data() + text.size()) return std::nullopt;
  return value;
}

std::vector<std::string_view> words(std::string_view text) {
  constexpr std::string_view blank = " \t\n";
  std::vector<std::string_view> result;
  for (auto begin = text.find_first_not_of(blank); begin != std::string_view::npos;) {
    const auto end = std::min(text.find_first_of(blank, begin), text.size());
    result.push_back(text.substr(begin, end - begin));
    begin = text.find_first_not_of(blank, end);
  }
  return result;
}

/// What follows "\n<name>:" up to the end of that line.
std::optional<std::string_view> field(std::string_view text, const std::string& name) {
  const auto key = "\n" + name + ":";
  const auto begin = text.find(key);
  if (begin == std::string_view::npos) return std::nullopt;
  const auto value = text.substr(begin + key.size());
  return value.substr(0, value.find('\n'));
}

/// The field's value, when it is one number.
std::optional<pid_t> number_in(std::string_view text, const std::string& name) {
  const auto value = field(text, name);
  const auto fields = value ? words(*value) : std::vector<std::string_view>();
  return fields.size() == 1 ? parse_number<pid_t>(fields[0]) : std::nullopt;
}

std::string proc(pid_t pid, const char* file) {
  return "/proc/" + std::to_string(pid) + "/" + file;
}

}  // namespace

std::optional<ProcessStatus> parse_status(std::string_view text) {
  const auto number_field = field(text, "NSpid");
  const auto parent = number_in(text, "PPid");
  const auto process = number_in(text, "Tgid");
  if (!parent || !process || !number_field) return std::nullopt;
  ProcessStatus status{*parent, {}, *process};
  for (const auto word : words(*number_field)) {
    const auto number = parse_number<pid_t>(word);
    if (!number) return std::nullopt;
    status.numbers.push_back(*number);
  }
  if (status.numbers.empty()) return std::nullopt;
  return status;
}

std::optional<std::uint64_t> parse_start_time(std::string_view text) {
  // The second field is the program's name in parentheses, and may itself hold any character.
  const auto end_of_name = text.rfind(')');
  if (end_of_name == std::string_view::npos) return std::nullopt;
  const auto fields = words(text.substr(end_of_name + 1));
  constexpr std::size_t start_time = 22 - 3;  // the first word here is field 3
  if (fields.size() <= start_time) return std::nullopt;
  return parse_number<std::uint64_t>(fields[start_time]);
}

std::optional<ProcessStatus> status_of(pid_t pid) {
  const auto text = read_small_file(proc(pid, "status"));
  return text ? parse_status(*text) : std::nullopt;
}

std::optional<ProcessStamp> stamp_of(pid_t pid) {
  const auto text = read_small_file(proc(pid, "stat"));
  if (!text) return std::nullopt;
  const auto start_time = parse_start_time(*text);
  if (!start_time) return std::nullopt;
  return ProcessStamp{pid, *start_time};
}

Fd open_process(pid_t pid) {
  if (pid <= 0) return {};
  return Fd(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
}

Fd open_process(const ProcessStamp& stamp) {
  Fd process = open_process(stamp.pid);
  // Asked after the pidfd is held: while that process lives nobody else has its number.
  if (!process || stamp_of(stamp.pid) != stamp || !is_alive(process.get())) return {};
  return process;
}

pid_t pid_of(int pidfd) {
  const auto text = read_small_file("/proc/self/fdinfo/" + std::to_string(pidfd));
  if (!text) return 0;
  const auto pid = number_in(*text, "Pid");
  return pid && *pid > 0 ? *pid : 0;
}

bool is_alive(int pidfd) {
  pollfd polled{pidfd, POLLIN, 0};
  return ::poll(&polled, 1, 0) == 0;
}

bool send_kill(int pidfd) {
  return ::syscall(SYS_pidfd_send_signal, pidfd, SIGKILL, nullptr, 0) == 0;
}

Parent parent_of(pid_t pid) {
  const auto status = status_of(pid);
  if (!status || status->parent <= 1) return {};
  Fd parent = open_process(status->parent);
  // Asked again with the pidfd held: a parent that ended in between is nobody's parent now.
  const auto again = status_of(pid);
  if (!parent || !again || again->parent != status->parent) return {};
  return {std::move(parent), status->parent};
}

std::vector<pid_t> children_of(pid_t pid) {
  const auto number = std::to_string(pid);
  const auto text = read_small_file("/proc/" + number + "/task/" + number + "/children");
  std::vector<pid_t> children;
  if (!text) return children;
  for (const auto word : words(*text)) {
    if (const auto child = parse_number<pid_t>(word)) children.push_back(*child);
  }
  return children;
}

std::vector<pid_t> all_processes() {
  std::vector<pid_t> processes;
  const std::unique_ptr<DIR, int (*)(DIR*)> folder(::opendir("/proc"), ::closedir);
  if (!folder) return processes;
  while (const dirent* entry = ::readdir(folder.get())) {
    if (const auto pid = parse_number<pid_t>(entry->d_name)) processes.push_back(*pid);
  }
  return processes;
}

std::optional<std::string> read_small_file(const std::string& path) {
  const Fd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY));
  if (!file) return std::nullopt;
  constexpr std::size_t limit = 64 * 1024;
  std::string text;
  std::array<char, 4096> buffer{};
  while (text.size() < limit) {
    const auto size = ::read(file.get(), buffer.data(), buffer.size());
    if (size < 0 && errno == EINTR) continue;
    if (size < 0) return std::nullopt;
    if (size == 0) break;
    text.append(buffer.data(), static_cast<std::size_t>(size));
  }
  return text;
}

}  // namespace airlock::fusefs
