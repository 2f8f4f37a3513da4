#pragma once

#include <optional>
#include <string>
#include <tl/expected.hpp>

#include "daemon/mediator/session.hpp"
#include "daemon/mediator/upstream_line.hpp"
#include "daemon/policy/verdict.hpp"
#include "daemon/wire/log.hpp"
#include "daemon/wire/upload.hpp"

namespace airlock {

/// What a handler works with: one operation on one connection.
struct Call {
  Session& session;
  Services& services;
  UpstreamLine& upstream;
  wire::Writer& to;
  wire::Version version;
  int client;                    ///< the client's socket, to notice that it hangs up
  wire::Upload* body = nullptr;  ///< the upload that follows, for operations that have one

  /// For what waits for its turn. Throws wire::WatchedHungUp.
  void check_that_client_waits() const;

  /// Says that the work is done; the reply follows in the returned writer.
  wire::Writer& reply() const {
    wire::write_log_message(to, wire::Last{}, version);
    return to;
  }
  /// The same for an answer that is held whole.
  template <class Reply>
  void reply(const Reply& answer) const {
    answer.encode(reply(), version);
  }
};

/// Why an operation failed in an ordinary way: what the client is told. verdict is set where a rule
/// refused what was only known after part of the work.
struct Failure {
  std::string message;
  std::optional<policy::Verdict> verdict;
};
using Handled = tl::expected<void, Failure>;

[[nodiscard]] inline tl::unexpected<Failure> refuse(policy::Verdict verdict) {
  auto message = verdict.message();
  return tl::unexpected(Failure{std::move(message), std::move(verdict)});
}

}  // namespace airlock
