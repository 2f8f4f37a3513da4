#include "daemon/mediator/upstream.hpp"

#include <fmt/format.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <cerrno>
#include <cstring>

#include "daemon/wire/fd_stream.hpp"
#include "daemon/wire/handshake.hpp"
#include "fusefs/boundary/fd.hpp"

namespace airlock {

namespace {

using wire::Op;

/// Turns the end of the upstream connection into UpstreamLost, so that it cannot be mistaken for
/// the end of the client's.
class LosingSource final : public Source {
 public:
  LosingSource(int fd, std::chrono::milliseconds deadline) : inner_(fd, deadline) {}
  void read(std::span<char> buffer) override {
    try {
      inner_.read(buffer);
    } catch (const wire::WatchedHungUp&) {
      throw;
    } catch (const ConnectionOver& over) {
      throw UpstreamLost(fmt::format("nix-daemon: {}", over.what()));
    }
  }
  wire::FdSource& inner() { return inner_; }

 private:
  wire::FdSource inner_;
};

class LosingSink final : public Sink {
 public:
  LosingSink(int fd, std::chrono::milliseconds deadline) : inner_(fd, deadline) {}
  void write(std::string_view bytes) override {
    guard([&] { inner_.write(bytes); });
  }
  void flush() override {
    guard([&] { inner_.flush(); });
  }

 private:
  template <class Action>
  void guard(const Action& action) {
    try {
      action();
    } catch (const ConnectionOver& over) {
      throw UpstreamLost(fmt::format("nix-daemon: {}", over.what()));
    }
  }
  wire::FdSink inner_;
};

Fd connect_socket(const std::string& path) {
  Fd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path)
    throw UpstreamLost(fmt::format("the path of nix-daemon's socket, {}, is too long", path));
  path.copy(address.sun_path, path.size());
  if (::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
    throw UpstreamLost(
        fmt::format("cannot connect to nix-daemon at {}: {}", path, std::strerror(errno)));
  return fd;
}

class DaemonConnection final : public Upstream {
 public:
  DaemonConnection(Fd fd, const Config& config)
      : fd_(std::move(fd)),
        stall_(config.limits.stall),
        layout_(config.layout),
        source_(fd_.get(), stall_),
        sink_(fd_.get(), stall_),
        reader_(source_, layout_, {config.limits.string_bytes, config.limits.list_items}),
        writer_(sink_, layout_) {
    version_ = guard([&] { return wire::offer_handshake(reader_, writer_).version; });
    if (auto ready = finish({}); !ready) throw UpstreamLost(ready.error().message);
  }

  void set_options(const wire::SetOptions& options) override {
    start(Op::set_options);
    options.encode(writer_, layout_, version_);
    if (auto done = finish({}); !done) throw UpstreamLost(done.error().message);
  }

  Result<void> add_temp_root(const StorePath& path) override {
    start(Op::add_temp_root);
    writer_.path(path);
    if (auto done = finish({}); !done) return done;
    guard([&] { return reader_.u64(); });
    return {};
  }

  Result<std::optional<wire::PathInfo>> query_path_info(const StorePath& path) override {
    start(Op::query_path_info);
    writer_.path(path);
    if (auto done = finish({}); !done) return tl::unexpected(done.error());
    return guard([&]() -> std::optional<wire::PathInfo> {
      if (!reader_.boolean()) return std::nullopt;
      return wire::read_path_info(reader_);
    });
  }

  Result<std::pair<StorePath, wire::PathInfo>> add_to_store(const wire::AddToStore& request,
                                                            const UploadBody& body) override {
    start(Op::add_to_store);
    request.encode(writer_, layout_, version_);
    if (auto done = upload(body); !done) return tl::unexpected(done.error());
    return guard([&] {
      auto path = reader_.path();
      return std::pair{std::move(path), wire::read_path_info(reader_)};
    });
  }

  Result<void> add_to_store_nar(const wire::AddToStoreNar& request,
                                const UploadBody& body) override {
    start(Op::add_to_store_nar);
    request.encode(writer_, layout_, version_);
    return upload(body);
  }

  Result<std::set<StorePath>> query_will_build(const wire::Targets& targets) override {
    start(Op::query_missing);
    wire::write_targets(writer_, layout_, targets);
    if (auto done = finish({}); !done) return tl::unexpected(done.error());
    return guard([&] {
      auto will_build = reader_.paths();
      (void)reader_.paths();  // will be substituted
      (void)reader_.paths();  // unknown
      (void)reader_.u64();    // download size
      (void)reader_.u64();    // NAR size
      return will_build;
    });
  }

  Result<std::vector<wire::BuildResult>> build(const wire::Targets& targets, const LogRelay& log,
                                               int client) override {
    start(Op::build_paths_with_results);
    wire::write_targets(writer_, layout_, targets);
    writer_.u64(static_cast<std::uint64_t>(wire::BuildMode::normal));
    // A build may be silent for hours; that its client hangs up is what ends the wait.
    source_.inner().set_deadline(std::chrono::milliseconds::zero());
    source_.inner().watch_hangup_of(client);
    auto done = finish(log);
    source_.inner().watch_hangup_of(-1);
    source_.inner().set_deadline(stall_);
    if (!done) return tl::unexpected(done.error());
    return guard([&] {
      std::vector<wire::BuildResult> results;
      for (auto n = reader_.count(); n > 0; --n)
        results.push_back(wire::read_build_result(reader_, version_));
      return results;
    });
  }

 private:
  /// What a reader makes of upstream's bytes is upstream's fault too. Never around an upload's body
  /// or a log relay: those throw on behalf of the client.
  template <class Action>
  static auto guard(const Action& action) -> decltype(action()) {
    try {
      return action();
    } catch (const wire::WatchedHungUp&) {
      throw;
    } catch (const ConnectionOver& over) {
      throw UpstreamLost(fmt::format("nix-daemon: {}", over.what()));
    }
  }

  void start(Op op) { writer_.u64(static_cast<std::uint64_t>(op)); }

  Result<void> upload(const UploadBody& body) {
    wire::FramedSink frames(writer_);
    body(frames);
    frames.finish();
    return finish({});
  }

  Result<void> finish(const LogRelay& log) {
    writer_.flush();
    for (;;) {
      auto message = guard([&] { return wire::read_log_message(reader_); });
      if (std::holds_alternative<wire::Last>(message)) return {};
      if (auto* error = std::get_if<wire::Error>(&message))
        return tl::unexpected(std::move(*error));
      if (log) log(message);
    }
  }

  Fd fd_;
  std::chrono::milliseconds stall_;
  StoreLayout layout_;
  LosingSource source_;
  LosingSink sink_;
  wire::Reader reader_;
  wire::Writer writer_;
  wire::Version version_;
};

}  // namespace

std::unique_ptr<Upstream> connect_upstream(const Config& config) {
  const auto path = config.upstream.empty() ? config.layout.daemon_socket() : config.upstream;
  return std::make_unique<DaemonConnection>(connect_socket(path), config);
}

}  // namespace airlock
