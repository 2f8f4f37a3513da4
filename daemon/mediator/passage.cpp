#include "daemon/mediator/passage.hpp"

#include "daemon/mediator/upstream.hpp"

namespace airlock {

namespace {

/// A build may be silent for hours, and so may a client: that one of them hangs up ends the wait.
constexpr std::chrono::milliseconds as_long_as_it_takes{0};

}  // namespace

Passage::Passage(const Config& config, int client, wire::Reader& from_client,
                 wire::Writer& to_client)
    : layout_(config.layout),
      fd_(connect_to_daemon(config)),
      from_client_(from_client),
      to_client_(to_client),
      source_(fd_.get(), as_long_as_it_takes),
      sink_(fd_.get(), config.limits.stall),
      from_daemon_(
          source_, layout_,
          {config.limits.string_bytes, config.limits.list_items, config.limits.request_bytes}),
      to_daemon_(sink_, layout_) {
  nar_limits_.size = config.limits.nar_bytes;
  source_.watch_hangup_of(client);
  sink_.read_meanwhile(&source_);
}

wire::Version Passage::shake_hands() {
  const auto daemon = wire::begin_handshake(from_daemon_, to_daemon_);
  version_ = wire::accept_greeting(from_client_, to_client_, daemon);
  const auto greeting = wire::complete_handshake(from_daemon_, to_daemon_, daemon, version_);
  wire::finish_greeting(from_client_, to_client_, version_, greeting.server);
  if (!relay_log()) throw ConnectionOver("nix-daemon refused the connection: " + refusal_);
  return version_;
}

void Passage::send_upload(wire::Upload& upload, wire::Body body, const UploadWatch& watch) {
  wire::RawSink raw(to_daemon_);
  switch (body) {
    case wire::Body::none:
    case wire::Body::tunnelled:  // sent when the daemon asks for it
      return;
    case wire::Body::archive: {
      PassingUpload passing(upload, raw);
      if (watch) return watch(passing);
      copy_nar(upload, raw, nar_limits_);
      return;
    }
    case wire::Body::framed:
      break;
  }
  wire::FramedSink frames(to_daemon_);
  PassingUpload passing(upload, frames);
  if (watch) watch(passing);
  passing.pass_rest();
  frames.finish();
}

bool Passage::relay_log() {
  for (;;) {
    from_daemon_.begin();
    auto message = wire::read_log_message(from_daemon_, version_);
    const auto* error = std::get_if<wire::Error>(&message);
    if (error != nullptr) refusal_ = error->message;
    wire::write_log_message(to_client_, message, version_);
    if (std::holds_alternative<wire::Last>(message)) return true;
    if (!source_.has_buffered()) to_client_.flush();
    if (error != nullptr) return false;
    if (const auto* request = std::get_if<wire::ReadRequest>(&message)) {
      to_client_.flush();
      from_client_.begin();  // the pieces before are gone: together they may exceed a request
      to_daemon_.string(from_client_.string(request->most, "a piece of an upload"));
      to_daemon_.flush();
    }
  }
}

void Passage::relay_archive() {
  wire::RawSink raw(to_client_);
  copy_nar(from_daemon_.source(), raw, nar_limits_);
  to_client_.flush();
}

}  // namespace airlock
