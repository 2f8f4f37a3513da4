#pragma once

#include <chrono>
#include <string>
#include <tl/expected.hpp>

#include "fusefs/boundary/channel.hpp"

namespace airlock::command {

/// Why airlock-fs gave no answer.
struct NoAnswer {
  bool down = false;     ///< nobody listens
  std::string sentence;  ///< one sentence
};

/// Sends one message to airlock-fs, with a descriptor if it is not -1, and waits for the answer,
/// `patience` at most for all of it.
[[nodiscard]] tl::expected<boundary::Message, NoAnswer> ask_filesystem(
    const boundary::SocketPaths& sockets, const boundary::Message& question, int descriptor,
    std::chrono::milliseconds patience);

}  // namespace airlock::command
