#pragma once

#include <sys/socket.h>

#include <chrono>

#include "daemon/core/store_layout.hpp"
#include "daemon/wire/codec.hpp"
#include "daemon/wire/fd_stream.hpp"
#include "daemon/wire/handshake.hpp"
#include "daemon/wire/log.hpp"
#include "fusefs/boundary/fd.hpp"

namespace airlock::fakes {

/// As nix-daemon: takes one connection and shakes hands. Then talk(from, to, version), until it
/// returns or the other end has heard enough.
template <class Talk>
void serve_one_client(int listening, Talk talk) {
  const Fd client(::accept(listening, nullptr, nullptr));
  wire::FdSource source(client.get(), std::chrono::seconds(10));
  wire::FdSink sink(client.get(), std::chrono::seconds(10));
  const StoreLayout layout;
  wire::Reader from(source, layout, {});
  wire::Writer to(sink, layout);
  try {
    const auto version = wire::accept_handshake(from, to);
    wire::write_log_message(to, wire::Last{}, version);
    to.flush();
    talk(from, to, version);
  } catch (const ConnectionOver&) {
    return;
  }
}

}  // namespace airlock::fakes
