#pragma once

#include <map>
#include <set>
#include <string>

#include "daemon/core/store_layout.hpp"
#include "daemon/wire/log.hpp"

namespace airlock {

/// What a sandbox sees of upstream's log while it builds: which derivation is built, and its lines.
///
/// Everything else that upstream says (downloads, warnings, other machines, how long the queue is)
/// is the host's, and dropped. Activity numbers are given anew, since Nix makes them from process
/// ids. The lines of fixed-output derivations are withheld where those are sealed. Not thread-safe.
class BuildLog {
 public:
  BuildLog(const StoreLayout& layout, std::set<StorePath> withheld, wire::Writer& to,
           wire::Version version)
      : layout_(layout), withheld_(std::move(withheld)), to_(to), version_(version) {}

  /// Throws UpstreamLost when more has begun and not ended than is remembered.
  void relay(const wire::LogMessage& message);

 private:
  void start(const wire::StartActivity& activity);
  void send(const wire::LogMessage& message);

  const StoreLayout& layout_;
  const std::set<StorePath> withheld_;
  wire::Writer& to_;
  const wire::Version version_;
  std::uint64_t next_id_ = 1;
  std::map<std::uint64_t, std::uint64_t> ids_;  ///< upstream's number to ours
};

}  // namespace airlock
