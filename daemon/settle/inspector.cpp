#include "daemon/settle/inspector.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <optional>
#include <string_view>
#include <utility>

namespace airlock {

namespace {

// Every part of what the child says ends with one of these words on a line of its own.
constexpr std::string_view inspected = "inspected";
constexpr std::string_view in_use = "in-use";
constexpr std::string_view absent = "absent";
constexpr std::string_view removed = "removed";
constexpr std::string_view failed = "failed";
constexpr std::array last_words{inspected, in_use, absent, removed, failed};

constexpr char remove_request = 'r';
constexpr std::size_t longest_report = 256u << 20;

void put(int fd, std::string_view text) {
  while (!text.empty()) {
    const ssize_t sent = ::send(fd, text.data(), text.size(), MSG_NOSIGNAL);
    if (sent < 0 && errno == EINTR) continue;
    if (sent <= 0) ::_exit(1);  // the parent is gone: the lock goes with this process
    text.remove_prefix(static_cast<std::size_t>(sent));
  }
}

void put_line(int fd, std::string_view text, std::string_view last_word) {
  std::string line(text);
  std::ranges::replace(line, '\n', ' ');
  put(fd, fmt::format("{}\n{}\n", line, last_word));
}

struct Task {
  const StoreLayout& layout;
  const Account& account;
  const StorePath& derivation;
  const Outputs& outputs;
  std::chrono::milliseconds patience;
};

void work(const Task& task, int channel) {
  if (const auto became = become(task.account); !became)
    return put_line(channel, became.error(), failed);
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);  // a change of user clears it
  DebtFolder debt(task.layout, task.derivation);
  switch (debt.lock(task.patience)) {
    case DebtFolder::State::absent:
      return put(channel, fmt::format("{}\n", absent));
    case DebtFolder::State::in_use:
      return put(channel, fmt::format("{}\n", in_use));
    case DebtFolder::State::locked:
      break;
  }
  const Inspection found = inspect(task.layout, task.derivation, task.outputs, debt.granted());
  put(channel, encode(found));
  put(channel, fmt::format("{}\n", inspected));

  char request = 0;
  if (::read(channel, &request, 1) != 1 || request != remove_request) return;
  debt.remove();
  put(channel, fmt::format("{}\n", removed));
}

[[noreturn]] void child(const Task& task, int channel) {
  // Of root's descriptors none but this channel is kept: no log, no database, no pipe of Nix's.
  constexpr int kept = 0;
  if (::dup2(channel, kept) != kept || ::close_range(kept + 1, ~0U, 0) != 0) ::_exit(1);
  try {
    work(task, kept);
  } catch (const std::exception& error) {
    put_line(kept, error.what(), failed);
  }
  ::_exit(0);
}

}  // namespace

tl::expected<Inspector, std::string> Inspector::start(const StoreLayout& layout,
                                                      const Account& account,
                                                      const StorePath& derivation,
                                                      const Outputs& outputs,
                                                      std::chrono::milliseconds patience) {
  std::array<int, 2> ends{};
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()) != 0)
    return tl::make_unexpected(fmt::format("cannot make a socket: {}", std::strerror(errno)));
  Fd ours{ends[0]};
  const Fd theirs{ends[1]};
  const pid_t pid = ::fork();
  if (pid < 0) return tl::make_unexpected(fmt::format("cannot fork: {}", std::strerror(errno)));
  if (pid == 0) child({layout, account, derivation, outputs, patience}, theirs.get());
  return Inspector(std::move(ours), pid, outputs);
}

Inspector::Inspector(Inspector&& other) noexcept
    : channel_(std::move(other.channel_)),
      pid_(std::exchange(other.pid_, -1)),
      outputs_(std::move(other.outputs_)),
      unread_(std::move(other.unread_)) {}

Inspector::~Inspector() {
  if (pid_ <= 0) return;
  channel_.reset();
  ::kill(pid_, SIGKILL);
  while (::waitpid(pid_, nullptr, 0) < 0 && errno == EINTR) {
  }
}

tl::expected<std::string, std::string> Inspector::receive(std::string& last_word) {
  const auto complete = [this](std::string_view word) {
    const auto line = fmt::format("{}\n", word);
    return unread_ == line || unread_.ends_with("\n" + line);
  };
  for (;;) {
    const auto* word = std::ranges::find_if(last_words, complete);
    if (word != last_words.end()) {
      last_word = *word;
      std::string part = std::exchange(unread_, {});
      part.resize(part.size() - word->size() - 1);
      if (*word != failed) return part;
      return tl::make_unexpected(part.substr(0, part.find('\n')));
    }
    std::array<char, 16 * 1024> buffer{};
    const ssize_t got = ::read(channel_.get(), buffer.data(), buffer.size());
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return tl::make_unexpected(std::string("the inspecting process ended early"));
    unread_.append(buffer.data(), static_cast<std::size_t>(got));
    if (unread_.size() > longest_report)
      return tl::make_unexpected(std::string("the inspecting process reports without end"));
  }
}

tl::expected<Inspector::Report, std::string> Inspector::report() {
  std::string last_word;
  const auto text = receive(last_word);
  if (!text) return tl::make_unexpected(text.error());
  if (last_word == in_use) return Report{DebtFolder::State::in_use, {}};
  if (last_word == absent) return Report{DebtFolder::State::absent, {}};
  if (last_word != inspected)
    return tl::make_unexpected(std::string("the inspecting process spoke out of turn"));
  auto inspection = decode(*text, outputs_);
  if (!inspection) return tl::make_unexpected(inspection.error());
  return Report{DebtFolder::State::locked, *std::move(inspection)};
}

tl::expected<void, std::string> Inspector::remove_debt() {
  if (::send(channel_.get(), &remove_request, 1, MSG_NOSIGNAL) != 1)
    return tl::make_unexpected(std::string("the inspecting process ended early"));
  std::string last_word;
  const auto text = receive(last_word);
  if (!text) return tl::make_unexpected(text.error());
  if (last_word != removed)
    return tl::make_unexpected(std::string("the inspecting process spoke out of turn"));
  return {};
}

}  // namespace airlock
