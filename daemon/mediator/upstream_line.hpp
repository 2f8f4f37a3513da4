#pragma once

#include <memory>
#include <mutex>
#include <optional>

#include "daemon/mediator/upstream.hpp"

namespace airlock {

/// A connection to upstream that a client of the session has left between two operations, for the
/// next one: it takes nix-daemon milliseconds to start another worker. A worker keeps the options
/// that it was given, so the next one must want the same. Thread-safe.
class SpareUpstream {
 public:
  explicit SpareUpstream(const UpstreamFactory& connect) : connect_(connect) {}

  /// The spare one or a new one, with these options set. Throws UpstreamLost.
  [[nodiscard]] std::unique_ptr<Upstream> take(const wire::SetOptions& options);
  /// One that was given these options and no others.
  void keep(std::unique_ptr<Upstream> upstream, const wire::SetOptions& options);
  /// Keeps none from now on.
  void close();

 private:
  [[nodiscard]] std::unique_ptr<Upstream> take_spare(const wire::SetOptions& options);

  const UpstreamFactory& connect_;
  std::mutex mutex_;
  std::unique_ptr<Upstream> upstream_;
  wire::SetOptions options_;
  bool closed_ = false;
};

/// The upstream connection behind one client connection: made when it is first needed, since most
/// questions never leave airlockd, and given the client's options as far as they may travel.
class UpstreamLine {
 public:
  explicit UpstreamLine(SpareUpstream& spare) : spare_(spare) {}
  [[nodiscard]] Upstream& get();
  void set_options(const wire::SetOptions& options);
  /// For when it was left in the middle of something: the next use makes another.
  void drop() { upstream_.reset(); }
  /// For when its client has left between two operations.
  void leave();

 private:
  SpareUpstream& spare_;
  std::unique_ptr<Upstream> upstream_;
  std::optional<wire::SetOptions> options_;
  wire::SetOptions given_;   ///< to upstream_, first
  bool given_more_ = false;  ///< others after those
};

}  // namespace airlock
