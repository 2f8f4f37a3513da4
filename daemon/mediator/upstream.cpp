#include "daemon/mediator/upstream.hpp"

#include <fmt/format.h>
#include <poll.h>

#include "daemon/mediator/old_daemon.hpp"
#include "daemon/wire/fd_stream.hpp"
#include "daemon/wire/handshake.hpp"
#include "daemon/wire/unix_socket.hpp"
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
  wire::FdSink& inner() { return inner_; }

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

/// While a build goes on there is no deadline, but somebody must still wait for it.
class Waiting {
 public:
  Waiting(wire::FdSource& source, int client, std::chrono::milliseconds deadline)
      : source_(source), deadline_(deadline) {
    source_.set_deadline(std::chrono::milliseconds::zero());
    source_.watch_hangup_of(client);
  }
  ~Waiting() {
    source_.watch_hangup_of(-1);
    source_.set_deadline(deadline_);
  }
  Waiting(const Waiting&) = delete;
  Waiting& operator=(const Waiting&) = delete;

 private:
  wire::FdSource& source_;
  std::chrono::milliseconds deadline_;
};

class DaemonConnection final : public Upstream {
 public:
  DaemonConnection(Fd fd, const Config& config)
      : fd_(std::move(fd)),
        stall_(config.limits.stall),
        largest_wrapped_(config.limits.derivation_bytes),
        layout_(config.layout),
        source_(fd_.get(), stall_),
        sink_(fd_.get(), stall_),
        reader_(
            source_, layout_,
            {config.limits.string_bytes, config.limits.list_items, config.limits.request_bytes}),
        writer_(sink_, layout_) {
    sink_.inner().read_meanwhile(&source_.inner());
    version_ = guard([&] { return wire::offer_handshake(reader_, writer_).version; });
    if (auto ready = finish({}); !ready) throw UpstreamLost(ready.error().message);
  }

  bool is_idle() override {
    // What was read with an answer and belongs to none would be taken for the next one.
    pollfd polled{fd_.get(), POLLIN | POLLRDHUP, 0};
    return !source_.inner().has_buffered() && ::poll(&polled, 1, 0) == 0;
  }

  void set_options(const wire::SetOptions& options) override {
    start(Op::set_options);
    options.encode(writer_, layout_, version_);
    if (auto done = finish({}); !done) throw UpstreamLost(done.error().message);
  }

  void ask_temp_roots(const std::vector<StorePath>& paths) override {
    for (const auto& path : paths) {
      start(Op::add_temp_root);
      writer_.path(path);
      ++asked_roots_;
    }
    writer_.flush();
  }

  Result<void> await_temp_roots() override {
    for (; asked_roots_ > 0; --asked_roots_) {
      if (auto done = finish({}); !done) return done;
      guard([&] { return reader_.u64(); });
    }
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
    if (version_ < wire::since::content_addresses) return add_to_old_store(request, body);
    start(Op::add_to_store);
    request.encode(writer_, layout_, version_);
    if (auto done = upload(wire::Body::framed, body); !done) return tl::unexpected(done.error());
    return guard([&] {
      auto reply = wire::AddedPath::decode(reader_, version_);
      return std::pair{std::move(reply.path), std::move(reply.info)};
    });
  }

  Result<void> add_to_store_nar(const wire::AddToStoreNar& request,
                                const UploadBody& body) override {
    start(Op::add_to_store_nar);
    request.encode(writer_, layout_, version_);
    return upload(wire::body_of<wire::AddToStoreNar>(version_), body);
  }

  Result<std::set<StorePath>> query_will_build(const wire::Targets& targets) override {
    start(Op::query_missing);
    wire::write_targets(writer_, layout_, targets, version_);
    if (auto done = finish({}); !done) return tl::unexpected(done.error());
    return guard([&] { return wire::Missing::decode(reader_, version_).will_build; });
  }

  Result<std::vector<wire::KeyedBuildResult>> build(const wire::Targets& targets,
                                                    const LogRelay& log, int client) override {
    // A build may be silent for hours; that its client hangs up is what ends the wait.
    const Waiting waiting(source_.inner(), client, stall_);
    if (version_ < wire::since::build_results) return build_one_by_one(targets, log);
    start(Op::build_paths_with_results);
    wire::BuildPathsWithResults{targets}.encode(writer_, layout_, version_);
    if (auto done = finish(log); !done) return tl::unexpected(done.error());
    return guard([&] { return wire::BuildResults::decode(reader_, version_).results; });
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

  Result<void> upload(wire::Body kind, const UploadBody& body) {
    if (kind == wire::Body::framed) {
      wire::FramedSink frames(writer_);
      body(frames);
      frames.finish();
    } else {
      wire::RawSink raw(writer_);
      body(raw);
    }
    return finish({});
  }

  /// Before protocol 1.25 text has an operation of its own, everything else comes as a NAR, and
  /// only the path comes back.
  Result<std::pair<StorePath, wire::PathInfo>> add_to_old_store(const wire::AddToStore& request,
                                                                const UploadBody& body) {
    const bool text = request.method == "text:sha256";
    if (!text && !request.references.empty())
      return tl::unexpected(wire::Error{0, "this nix-daemon adds no sources with references", {}});
    Result<void> done;
    if (text || !request.method.starts_with("fixed:r:")) {
      StringSink whole;
      body(whole);
      if (whole.text().size() > largest_wrapped_)
        return tl::unexpected(wire::Error{0, "this nix-daemon takes no flat file so large", {}});
      start(text ? Op::add_text_to_store : Op::add_to_store);
      if (text)
        wire::AddTextToStore{request.name, whole.text(), request.references}.encode(
            writer_, layout_, version_);
      else
        request.encode(writer_, layout_, version_);
      done = text ? finish({}) : upload(wire::Body::archive, [&](Sink& sink) {
        write_file_nar(whole.text(), sink);
      });
    } else {
      start(Op::add_to_store);
      request.encode(writer_, layout_, version_);
      done = upload(wire::Body::archive, body);
    }
    if (!done) return tl::unexpected(done.error());
    auto path = guard([&] { return reader_.path(); });
    auto info = query_path_info(path);
    if (!info) return tl::unexpected(info.error());
    if (!*info) return tl::unexpected(wire::Error{0, "what was added is not valid", {}});
    return std::pair{std::move(path), **std::move(info)};
  }

  /// Before protocol 1.34 a build has no result but its error.
  Result<std::vector<wire::KeyedBuildResult>> build_one_by_one(const wire::Targets& targets,
                                                               const LogRelay& log) {
    std::vector<wire::KeyedBuildResult> results;
    for (const auto& target : targets) {
      start(Op::build_paths);
      wire::BuildPaths{{target}}.encode(writer_, layout_, version_);
      wire::BuildResult result{wire::BuildStatus::built, {}};
      if (auto done = finish(log); done)
        guard([&] { return reader_.u64(); });
      else
        result = {status_of_old_failure(done.error(), version_), done.error().message};
      results.push_back({target, std::move(result)});
    }
    return results;
  }

  Result<void> finish(const LogRelay& log) {
    writer_.flush();
    for (;;) {
      reader_.begin();
      auto message = guard([&] { return wire::read_log_message(reader_, version_); });
      if (std::holds_alternative<wire::Last>(message)) return {};
      if (auto* error = std::get_if<wire::Error>(&message))
        return tl::unexpected(std::move(*error));
      if (std::holds_alternative<wire::ReadRequest>(message))
        throw UpstreamLost("nix-daemon: it asks for an upload that it was not offered");
      if (log) log(message);
    }
  }

  Fd fd_;
  std::chrono::milliseconds stall_;
  std::uint64_t largest_wrapped_;
  StoreLayout layout_;
  LosingSource source_;
  LosingSink sink_;
  wire::Reader reader_;
  wire::Writer writer_;
  wire::Version version_;
  std::size_t asked_roots_ = 0;  ///< temporary roots whose answers have not been read
};

}  // namespace

Fd connect_to_daemon(const Config& config) {
  auto socket =
      wire::connect_unix(config.upstream.empty() ? config.layout.daemon_socket() : config.upstream);
  if (!socket) throw UpstreamLost("nix-daemon: " + socket.error());
  return *std::move(socket);
}

std::unique_ptr<Upstream> connect_upstream(const Config& config) {
  return std::make_unique<DaemonConnection>(connect_to_daemon(config), config);
}

}  // namespace airlock
