#include "daemon/command/status.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <string>
#include <thread>
#include <tl/expected.hpp>

#include "daemon/command/filesystem.hpp"
#include "daemon/command/text.hpp"

namespace airlock::command {

namespace {

constexpr std::chrono::seconds patience{5};
constexpr std::chrono::milliseconds pause{100};

/// The number of sessions when all is well, else what is not: one sentence.
tl::expected<std::string, std::string> check(const Config& config) {
  const boundary::Message question{.type = boundary::MessageType::status};
  const auto answer = ask_filesystem(config.sockets, question, -1, patience);
  if (!answer && answer.error().down)
    return tl::make_unexpected(
        std::string("airlock-fs is not running: start it (systemctl start airlock-fs)"));
  if (!answer) return tl::make_unexpected(answer.error().sentence);
  if (answer->type != boundary::MessageType::status_is || answer->strings.size() < 2)
    return tl::make_unexpected(
        std::string("airlock-fs gave an answer of another kind: is it of the same version?"));
  if (answer->strings[0] != "connected")
    return tl::make_unexpected(
        std::string("airlock-fs is running, but airlockd is not connected to it: start it "
                    "(systemctl start airlockd)"));
  return answer->strings[1];
}

}  // namespace

int show_status(const Config& config, std::chrono::seconds wait) {
  const auto end = std::chrono::steady_clock::now() + wait;
  for (;;) {
    const auto sessions = check(config);
    if (sessions) {
      put(STDOUT_FILENO, fmt::format("airlock is ready; open sessions: {}\n", *sessions));
      return success;
    }
    if (std::chrono::steady_clock::now() >= end) {
      complain(sessions.error());
      return unavailable;
    }
    std::this_thread::sleep_for(pause);
  }
}

}  // namespace airlock::command
