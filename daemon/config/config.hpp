#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>
#include <tl/expected.hpp>
#include <vector>

#include "daemon/core/store_layout.hpp"
#include "fusefs/boundary/channel.hpp"

namespace airlock {

/// What fixed-output derivations, the way out to the network, may do for a sandbox.
enum class FixedOutputPolicy {
  sealed,  ///< built; the log is withheld, a failure condemns the session
  open,    ///< as Nix does
  closed,  ///< only those whose output is visible already
};

struct Limits {
  std::uint32_t connections = 64;            ///< of one session at once
  std::uint64_t string_bytes = 64ull << 20;  ///< one string of the protocol
  std::uint64_t list_items = 1ull << 20;     ///< one list, set or map
  /// All of one request but an upload, and of one reply or log message of nix-daemon's.
  std::uint64_t request_bytes = 96ull << 20;
  std::uint64_t derivation_bytes = 64ull << 20;  ///< one .drv file
  std::uint64_t nar_bytes = 16ull << 30;         ///< one archive
  std::chrono::seconds handshake{10};            ///< from connect to the first operation
  std::chrono::seconds stall{300};               ///< no progress inside one operation
  std::uint32_t depth = 16;                      ///< sessions within sessions
  /// Granted to one session beyond its inputs, or left in the store by an upload that was refused.
  std::uint64_t paths = 100'000;
  /// The size of those, as archives. What is built on the way and not granted is not held against
  /// the garbage collector, and which of it is built depends on the host, so it is not counted.
  std::uint64_t granted_bytes = 64ull << 30;
  /// Of one session, and its connections that broke the protocol; each has a row in the ledger.
  std::uint64_t operations = 1'000'000;
  std::uint32_t builds = 16;  ///< requests to build of one session at once; a further one waits
  std::uint32_t machine_builds = 256;             ///< such requests of all sessions
  std::chrono::seconds build_time{24 * 60 * 60};  ///< one request to build
  std::chrono::seconds starvation{600};  ///< an inner build's wait for a build user or machine
  std::uint32_t ledger_days = 90;        ///< that sessions are kept in the ledger after their end
  bool operator==(const Limits&) const = default;
};

/// What airlock-fetchd may fetch for the lock files of a build, and from where.
struct FetchConfig {
  std::string user = "airlock-fetch";         ///< airlock-fetchd runs as; its group has its name
  std::vector<std::string> schemes{"https"};  ///< of https, http, file, path; also behind "git+"
  bool allow_loopback = false;                ///< addresses of this machine itself
  bool allow_private = false;                 ///< addresses of private networks
  std::string ca_file;                        ///< certificate authorities; empty: the system's
  std::uint64_t max_bytes = 4ull << 30;       ///< of a download, and of what is unpacked from it
  std::uint64_t max_memory = 2ull << 30;      ///< of one process that fetches, in bytes
  std::chrono::seconds timeout{600};          ///< one fetch
  [[nodiscard]] bool allows(std::string_view scheme) const;
  bool operator==(const FetchConfig&) const = default;
};

/// The end of a sentence about something that went over one of the Limits: what its value is, and
/// under which key to raise it.
[[nodiscard]] std::string limit_hint(std::string_view key, std::uint64_t value);

/// /etc/airlock/airlock.toml. Every key has a default; an unknown key or a value of the wrong type
/// is an error that names file, line and key. Immutable once loaded.
/// docs/airlock.toml has them all: those of Limits and FetchConfig in their tables, with dashes for
/// underscores and times in seconds.
struct Config {
  std::string user = "airlock";
  std::string group = "airlock";
  std::vector<std::string> features{"airlock"};
  std::string ledger = "/var/lib/airlock/ledger.sqlite";
  std::string upstream;  ///< empty: StoreLayout::daemon_socket()
  FixedOutputPolicy fixed_output = FixedOutputPolicy::sealed;
  std::string pre_build_hook;
  std::string post_build_hook;
  Limits limits;
  FetchConfig fetch;
  StoreLayout layout;
  boundary::SocketPaths sockets;

  static constexpr const char* default_file = "/etc/airlock/airlock.toml";

  /// A missing file at the default place is the default configuration; a missing file that was
  /// named is an error. The error is one sentence that says file, line and what to do.
  [[nodiscard]] static tl::expected<Config, std::string> load(
      const std::string& file = default_file);
};

}  // namespace airlock
