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
/// The reply does not follow. Before protocol 1.26 only message and status travel.
struct Error {
  std::uint64_t level = 0;
  std::string message;
  std::vector<std::string> traces;
  std::uint64_t status =
      1;  ///< what a command that fails for this exits with; not sent from 1.26 on
  std::string name = "Error";  ///< from 1.26 on; clients ignore it
};
/// The server wants up to so many bytes of an upload; the client answers with a string.
struct ReadRequest {
  std::uint64_t most = 0;
};
/// A piece of what ExportPath exports.
struct WriteData {
  std::string bytes;
};

using LogMessage = std::variant<LogLine, StartActivity, StopActivity, ActivityResult, Last, Error,
                                ReadRequest, WriteData>;

/// Activity and result types that airlock looks at.
inline constexpr std::uint64_t activity_build = 105;
inline constexpr std::uint64_t activity_build_waiting = 111;
inline constexpr std::uint64_t result_build_log_line = 101;

/// Reads one message. Throws ConnectionOver, also at a message of an unknown kind.
[[nodiscard]] LogMessage read_log_message(Reader& from, Version version);
void write_log_message(Writer& to, const LogMessage& message, Version version);

}  // namespace airlock::wire
