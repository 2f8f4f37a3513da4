#pragma once

#include <memory>
#include <string>
#include <tl/expected.hpp>

#include "daemon/config/config.hpp"
#include "daemon/core/stream.hpp"
#include "daemon/fetch/locks.hpp"
#include "daemon/wire/codec.hpp"

/// What airlockd and airlock-fetchd say to each other, in the worker protocol's primitives, one
/// fetch a connection:
///
///   airlockd         magic, kind, url, rev, form
///   airlock-fetchd   0, then the content in frames; or 1 and one sentence
///
/// Neither believes the other: airlock-fetchd takes only what is canonical and what its own
/// configuration allows, airlockd only what has the hash that the lock says.
namespace airlock::fetch {

/// airlock-fetchd's; a further one that asks is accepted when one of them has ended.
inline constexpr std::size_t most_at_once = 16;

enum class Form : std::uint64_t {
  archive,  ///< a NAR
  flat,     ///< a file's bytes
};

struct Request {
  Origin origin;
  Form form = Form::archive;

  void encode(wire::Writer& to) const;
  /// Throws ConnectionOver at anything that is not canonical.
  [[nodiscard]] static Request decode(wire::Reader& from);
};

/// Content on its way. Throws ConnectionOver when it breaks off; wire::WatchedHungUp when the
/// client that it is for hangs up.
class Content : public Source {
 public:
  /// Reads at most the buffer's length; 0 at the end.
  virtual std::size_t read_some(std::span<char> buffer) = 0;
};

/// Fetches for sandboxes. Thread-safe.
class Fetcher {
 public:
  Fetcher() = default;
  Fetcher(const Fetcher&) = delete;
  Fetcher& operator=(const Fetcher&) = delete;
  virtual ~Fetcher() = default;

  /// Returns when all of it has been fetched and can be read. The error is one sentence. Throws
  /// wire::WatchedHungUp when the peer of `client` hangs up meanwhile.
  [[nodiscard]] virtual tl::expected<std::unique_ptr<Content>, std::string> fetch(
      const Request& request, int client) = 0;
};

/// airlock-fetchd, at its socket.
class FetchService final : public Fetcher {
 public:
  explicit FetchService(const Config& config) : config_(config) {}
  [[nodiscard]] tl::expected<std::unique_ptr<Content>, std::string> fetch(const Request& request,
                                                                          int client) override;

 private:
  const Config& config_;
};

/// airlock-fetchd's side: how an answer begins.
void begin_content(wire::Writer& to);
void send_failure(wire::Writer& to, const std::string& sentence);

}  // namespace airlock::fetch
