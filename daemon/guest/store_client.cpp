#include "daemon/guest/store_client.hpp"

#include <fcntl.h>

#include <chrono>

#include "daemon/core/nar.hpp"
#include "daemon/wire/handshake.hpp"
#include "daemon/wire/log.hpp"
#include "daemon/wire/unix_socket.hpp"

namespace airlock::guest {
namespace {

/// A build takes as long as it takes, and airlockd sees to it that nothing waits for ever.
constexpr std::chrono::milliseconds no_deadline{0};

Fd connect(const StoreLayout& layout) {
  auto socket = wire::connect_unix(layout.daemon_socket());
  if (!socket) throw ConnectionOver(socket.error());
  return *std::move(socket);
}

/// The line of a builder's log in the message, if it is one.
const std::string* log_line(const wire::LogMessage& message) {
  const auto* result = std::get_if<wire::ActivityResult>(&message);
  if (result == nullptr || result->type != wire::result_build_log_line || result->fields.empty())
    return nullptr;
  return std::get_if<std::string>(&result->fields.front());
}

}  // namespace

StoreClient::StoreClient(const StoreLayout& layout)
    : layout_(layout),
      socket_(connect(layout)),
      source_(socket_.get(), no_deadline),
      sink_(socket_.get(), no_deadline),
      reader_(source_, layout_, {}),
      writer_(sink_, layout_) {
  sink_.read_meanwhile(&source_);
  version_ = wire::offer_handshake(reader_, writer_).version;
  if (version_ < wire::since::content_addresses)
    throw ConnectionOver("what answers at " + layout.daemon_socket() + " is older than Nix 2.4");
  if (auto ready = finish(); !ready) throw ConnectionOver(ready.error());
}

template <class Request>
void StoreClient::start(const Request& request) {
  writer_.u64(static_cast<std::uint64_t>(Request::number));
  request.encode(writer_, layout_, version_);
}

StoreClient::Result<void> StoreClient::finish(const Log& log) {
  writer_.flush();
  for (;;) {
    const auto message = wire::read_log_message(reader_, version_);
    if (std::holds_alternative<wire::Last>(message)) return {};
    if (const auto* error = std::get_if<wire::Error>(&message))
      return tl::unexpected(error->message);
    if (const auto* line = log_line(message); line != nullptr && log) log(*line);
  }
}

template <class Request>
StoreClient::Result<typename Request::Reply> StoreClient::ask(const Request& request,
                                                              const Log& log) {
  start(request);
  if (auto done = finish(log); !done) return tl::unexpected(done.error());
  return Request::Reply::decode(reader_, version_);
}

StoreClient::Result<bool> StoreClient::is_valid(const StorePath& path) {
  return ask(wire::IsValidPath{path}).map([](const wire::Boolean& reply) { return reply.value; });
}

StoreClient::Result<StorePath> StoreClient::add(const wire::AddToStore& request,
                                                const std::function<void(Sink&)>& body) {
  start(request);
  wire::FramedSink frames(writer_);
  body(frames);
  frames.finish();
  if (auto done = finish(); !done) return tl::unexpected(done.error());
  return wire::AddedPath::decode(reader_, version_).path;
}

StoreClient::Result<StorePath> StoreClient::add_text(const std::string& name, std::string_view text,
                                                     const std::set<StorePath>& references) {
  return add({name, "text:sha256", references}, [&](Sink& sink) { sink.write(text); });
}

StoreClient::Result<StorePath> StoreClient::add_file(const std::string& name,
                                                     const std::string& file) {
  return add({name, "fixed:r:sha256", {}}, [&](Sink& sink) { dump_nar(AT_FDCWD, file, sink); });
}

StoreClient::Result<void> StoreClient::build(const StorePath& derivation,
                                             const std::set<std::string>& outputs, const Log& log) {
  return ask(wire::BuildPaths{{{derivation, true, outputs}}}, log).map([](const auto&) {});
}

StoreClient::Result<std::map<std::string, StorePath>> StoreClient::outputs_of(
    const StorePath& derivation) {
  const auto reply = ask(wire::QueryDerivationOutputMap{derivation});
  if (!reply) return tl::unexpected(reply.error());
  std::map<std::string, StorePath> known;
  for (const auto& [name, path] : reply->outputs)
    if (path) known.emplace(name, *path);
  return known;
}

StoreClient::Result<void> StoreClient::add_indirect_root(const std::string& link) {
  return ask(wire::AddIndirectRoot{link}).map([](const auto&) {});
}

}  // namespace airlock::guest
