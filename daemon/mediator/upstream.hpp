#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <stdexcept>
#include <string>
#include <tl/expected.hpp>
#include <utility>
#include <vector>

#include "daemon/config/config.hpp"
#include "daemon/wire/log.hpp"
#include "daemon/wire/messages.hpp"
#include "fusefs/boundary/fd.hpp"

namespace airlock {

/// The real daemon went away, or never was there: a fault of the host, never of a sandbox.
class UpstreamLost : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// Of one request to build, so many activities are remembered that have begun and not ended.
inline constexpr std::size_t most_activities = 1 << 16;

/// Takes the log messages that upstream sends while it works. Never Last or Error.
using LogRelay = std::function<void(const wire::LogMessage&)>;
/// Writes the content of an upload. What it throws passes through, and ends the connection.
using UploadBody = std::function<void(Sink&)>;

/// The real Nix daemon, as an untrusted client of it. One connection, one thread at a time. Every
/// method throws UpstreamLost when the connection fails; a daemon's own refusal is a wire::Error.
class Upstream {
 public:
  Upstream() = default;
  Upstream(const Upstream&) = delete;
  Upstream& operator=(const Upstream&) = delete;
  virtual ~Upstream() = default;

  template <class T>
  using Result = tl::expected<T, wire::Error>;

  /// Nothing is asked and nothing was said, and the daemon is there as far as can be seen.
  [[nodiscard]] virtual bool is_idle() = 0;
  virtual void set_options(const wire::SetOptions& options) = 0;
  /// Asks for temporary roots, which last as long as the connection, and does not wait for the
  /// answers. Nothing but more of the same may be asked before await_temp_roots.
  virtual void ask_temp_roots(const std::vector<StorePath>& paths) = 0;
  /// Returns when all that were asked for are held.
  virtual Result<void> await_temp_roots() = 0;
  virtual Result<std::optional<wire::PathInfo>> query_path_info(const StorePath& path) = 0;
  virtual Result<std::pair<StorePath, wire::PathInfo>> add_to_store(const wire::AddToStore& request,
                                                                    const UploadBody& body) = 0;
  virtual Result<void> add_to_store_nar(const wire::AddToStoreNar& request,
                                        const UploadBody& body) = 0;
  /// The derivations that building the targets would build on this host, of those not substituted.
  virtual Result<std::set<StorePath>> query_will_build(const wire::Targets& targets) = 0;
  /// One result a target, in mode normal. Waits as long as it takes; gives up with ConnectionOver
  /// when the peer of `client` hangs up.
  virtual Result<std::vector<wire::KeyedBuildResult>> build(const wire::Targets& targets,
                                                            const LogRelay& log, int client) = 0;
};

/// A connected socket of the daemon's. Throws UpstreamLost.
[[nodiscard]] Fd connect_to_daemon(const Config& config);

/// Connects to the daemon's socket. The descriptor's peer credentials are those of this process:
/// airlockd's own, untrusted user.
[[nodiscard]] std::unique_ptr<Upstream> connect_upstream(const Config& config);
using UpstreamFactory = std::function<std::unique_ptr<Upstream>()>;

}  // namespace airlock
