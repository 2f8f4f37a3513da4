#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "daemon/wire/codec.hpp"

namespace airlock::wire {

/// The messages a server sends between a request and its reply.
using Field = std::variant<std::uint64_t, std::string>;

struct LogLine {
  std::string text;
};
struct StartActivity {
  std::uint64_t id = 0;
  std::uint64_t level = 0;
  std::uint64_t type = 0;
  std::string text;
  std::vector<Field> fields;
  std::uint64_t parent = 0;
};
struct StopActivity {
  std::uint64_t id = 0;
};
struct ActivityResult {
  std::uint64_t id = 0;
  std::uint64_t type = 0;
  std::vector<Field> fields;
};
struct Last {};
/// Protocol 1.26 and later. Traces are folded into the message when it is decoded.
struct Error {
  std::uint64_t level = 0;
  std::string message;
  std::vector<std::string> traces;
};

using LogMessage = std::variant<LogLine, StartActivity, StopActivity, ActivityResult, Last, Error>;

/// Activity and result types that airlock looks at.
inline constexpr std::uint64_t activity_build = 105;
inline constexpr std::uint64_t activity_build_waiting = 111;
inline constexpr std::uint64_t result_build_log_line = 101;

/// Reads one message. READ and WRITE belong to operations that airlock never sends upstream and
/// end the connection, as do unknown messages.
[[nodiscard]] LogMessage read_log_message(Reader& from);
void write_log_message(Writer& to, const LogMessage& message);

}  // namespace airlock::wire
