#pragma once

#include <string>

#include "daemon/wire/fd_stream.hpp"
#include "daemon/wire/handshake.hpp"
#include "daemon/wire/messages.hpp"
#include "fusefs/boundary/fd.hpp"

namespace airlock::bench {

/// One connection to a daemon, speaking whatever version both sides know. Throws ConnectionOver,
/// and std::runtime_error with the server's sentence where that answers with an error. Not
/// thread-safe.
class Client {
 public:
  /// Connects and shakes hands.
  explicit Client(const std::string& socket);

  template <class Request>
  void start(const Request& request) {
    writer.u64(static_cast<std::uint64_t>(Request::number));
    request.encode(writer, layout_, version_);
  }
  /// Reads up to the end of the operation; its reply follows.
  void finish();

  template <class Request>
  typename Request::Reply ask(const Request& request) {
    start(request);
    finish();
    return Request::Reply::decode(reader, version_);
  }
  [[nodiscard]] wire::Version version() const { return version_; }
  [[nodiscard]] const StoreLayout& layout() const { return layout_; }

 private:
  StoreLayout layout_ = StoreLayout::from_environment();
  Fd fd_;
  wire::FdSource source_;
  wire::FdSink sink_;
  wire::Version version_;

 public:
  wire::Reader reader;
  wire::Writer writer;
};

/// Connects a stream socket; throws std::runtime_error.
[[nodiscard]] Fd connect_to(const std::string& socket);

}  // namespace airlock::bench
