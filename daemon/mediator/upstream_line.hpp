#pragma once

#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <utility>

#include "daemon/mediator/upstream.hpp"

namespace airlock {

/// A connection to upstream that a client of the session has left between two operations, for the
/// next one: it takes nix-daemon milliseconds to start another worker. A worker keeps the options
/// that it was given, so the next one must want the same. Thread-safe.
class SpareUpstream {
 public:
  /// `before_closing` is called before a connection is closed that was used, but by close; its
  /// temporary roots go with it.
  SpareUpstream(const UpstreamFactory& connect, std::function<void()> before_closing)
      : connect_(connect), before_closing_(std::move(before_closing)) {}

  /// The spare one or a new one, with these options set. Throws UpstreamLost.
  [[nodiscard]] std::unique_ptr<Upstream> take(const wire::SetOptions& options);
  /// One that was given these options and no others.
  void keep(std::unique_ptr<Upstream> upstream, const wire::SetOptions& options);
  /// One that is of no use any more, or null.
  void retire(std::unique_ptr<Upstream> upstream);
  /// Keeps none from now on.
  void close();

 private:
  [[nodiscard]] std::unique_ptr<Upstream> take_spare(const wire::SetOptions& options);

  const UpstreamFactory& connect_;
  const std::function<void()> before_closing_;
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
  UpstreamLine(const UpstreamLine&) = delete;
  UpstreamLine& operator=(const UpstreamLine&) = delete;
  ~UpstreamLine() { drop(); }

  [[nodiscard]] Upstream& get();
  void set_options(const wire::SetOptions& options);
  /// For when it was left in the middle of something: the next use makes another.
  void drop() { spare_.retire(std::move(upstream_)); }
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
