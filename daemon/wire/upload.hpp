#pragma once

#include <memory>

#include "daemon/wire/messages.hpp"

namespace airlock::wire {

/// The content of an upload as it arrives behind its operation's arguments, by the client's
/// connection. Not thread-safe; throws ConnectionOver.
class Upload : public Source {
 public:
  /// Whether its end is known before its content is: Body::framed. Otherwise it is one NAR.
  [[nodiscard]] virtual bool is_framed() const { return false; }
  /// Of a framed one: reads at most the buffer's length; 0 at the end.
  virtual std::size_t read_some(std::span<char> buffer);
  /// Reads and drops what is left of at most so many bytes, so that the connection can go on. Of a
  /// NAR that is all of it or nothing.
  virtual void drain(std::uint64_t most) = 0;
};

/// Null for Body::none.
[[nodiscard]] std::unique_ptr<Upload> open_upload(Body body, Reader& from, Writer& to,
                                                  Version version);

}  // namespace airlock::wire
