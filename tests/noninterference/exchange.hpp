#pragma once

#include <functional>
#include <string>

#include "daemon/core/nar.hpp"
#include "daemon/wire/messages.hpp"

namespace noninterference {

/// One operation as it travels, and how the end of its reply is found.
struct Exchange {
  std::string name;
  std::string about;     ///< for people: what it was asked of
  std::string bytes;     ///< from the operation's number on
  std::string pieces{};  ///< the upload that is sent when it is asked for
  /// Whether its log is builders', and it may end with the sandbox's.
  bool builds = false;
  bool adds = false;
  /// Reads the reply, and keeps of it what decides how the test goes on.
  std::function<void(airlock::wire::Reader&, airlock::wire::Version)> read_reply{};
};

class NullSink final : public airlock::Sink {
 public:
  void write(std::string_view) override {}
};

template <class R>
Exchange exchange_of(std::string name, std::string about, const R& request,
                     const airlock::StoreLayout& layout, airlock::wire::Version version,
                     std::function<void(const typename R::Reply&)> keep = {}) {
  airlock::StringSink sink;
  airlock::wire::Writer writer(sink, layout);
  writer.u64(static_cast<std::uint64_t>(R::number));
  request.encode(writer, layout, version);
  Exchange exchange{std::move(name), std::move(about), sink.text()};
  exchange.read_reply = [keep = std::move(keep)](airlock::wire::Reader& from,
                                                 airlock::wire::Version spoken) {
    if constexpr (std::is_same_v<typename R::Reply, airlock::wire::Archive>) {
      NullSink nowhere;
      airlock::copy_nar(from.source(), nowhere);
    } else {
      const auto reply = R::Reply::decode(from, spoken);
      if (keep) keep(reply);
    }
  };
  return exchange;
}

/// The same with an upload behind it.
template <class R>
Exchange upload_of(std::string name, std::string about, const R& request,
                   const std::string& content, const airlock::StoreLayout& layout,
                   airlock::wire::Version version,
                   std::function<void(const typename R::Reply&)> keep = {}) {
  auto exchange =
      exchange_of(std::move(name), std::move(about), request, layout, version, std::move(keep));
  exchange.adds = true;
  switch (airlock::wire::body_of<R>(version)) {
    case airlock::wire::Body::none:
      break;
    case airlock::wire::Body::archive:
      exchange.bytes += content;
      break;
    case airlock::wire::Body::tunnelled:
      exchange.pieces = content;
      break;
    case airlock::wire::Body::framed: {
      airlock::StringSink sink;
      airlock::wire::Writer writer(sink, layout);
      airlock::wire::FramedSink frames(writer);
      frames.write(content);
      frames.finish();
      exchange.bytes += sink.text();
      break;
    }
  }
  return exchange;
}

}  // namespace noninterference
