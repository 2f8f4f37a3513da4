#include "fusefs/condemn.hpp"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>

namespace airlock::fusefs {
namespace {

/// The slave sides of pseudoterminals: Documentation/admin-guide/devices.txt.
bool is_terminal_slave(int fd) {
  constexpr unsigned first_major = 136;
  constexpr unsigned last_major = 143;
  struct statx attributes {};
  // As in identity_of: a filesystem of the sandbox's own must not be able to keep us waiting.
  constexpr int flags = AT_EMPTY_PATH | AT_STATX_DONT_SYNC | AT_NO_AUTOMOUNT;
  if (::statx(fd, "", flags, STATX_TYPE, &attributes) != 0) return false;
  return S_ISCHR(attributes.stx_mode) && attributes.stx_rdev_major >= first_major &&
         attributes.stx_rdev_major <= last_major;
}

/// The descriptor of the process, when it is a terminal. Only a terminal: a pipe or a file that the
/// builder put there instead is the builder's business, and opening a fifo or a device could wait
/// or do something.
Fd open_terminal(const FirstProcess& first, int number) {
  const auto path = "/proc/" + std::to_string(first.stamp.pid) + "/fd/" + std::to_string(number);
  const Fd place(::open(path.c_str(), O_PATH | O_CLOEXEC));
  if (!place || !is_terminal_slave(place.get()) || !is_alive(first.process.get())) return Fd();
  const auto again = "/proc/self/fd/" + std::to_string(place.get());
  return Fd(::open(again.c_str(), O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC));
}

/// Standard error, or where a shell has put it while a command of its own has another: from 10 on.
void tell(const FirstProcess& first, std::string_view reason) {
  for (const int number : {2, 1, 10, 11, 12, 13}) {
    const Fd terminal = open_terminal(first, number);
    if (!terminal) continue;
    const auto line = "airlock: " + printable(reason) + "\n";
    [[maybe_unused]] const auto written = ::write(terminal.get(), line.data(), line.size());
    return;
  }
}

}  // namespace

std::string printable(std::string_view text) {
  constexpr std::size_t longest = 512;
  std::string result(text.substr(0, longest));
  std::replace_if(
      result.begin(), result.end(), [](char c) { return c < ' ' || c > '~'; }, '?');
  return result;
}

bool kill_sandbox(const FirstProcess& first, std::string_view reason) {
  tell(first, reason);
  return send_kill(first.process.get());
}

}  // namespace airlock::fusefs
