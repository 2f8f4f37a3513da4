#include "daemon/fetch/conversation.hpp"

#include <fmt/format.h>

#include "daemon/core/plain_line.hpp"
#include "daemon/wire/fd_stream.hpp"
#include "daemon/wire/unix_socket.hpp"
#include "fusefs/boundary/fd.hpp"

namespace airlock::fetch {

namespace {

constexpr std::uint64_t magic = 0x31686374656b6361;
constexpr std::uint64_t follows = 0;
constexpr std::uint64_t failed = 1;
constexpr std::uint64_t longest_text = 16 * 1024;
/// airlock-fetchd keeps its own time; this is for one that does not.
constexpr std::chrono::seconds grace{30};

/// Whatever it quotes.
std::string one_sentence(std::string_view text) {
  auto line = one_plain_line(text.substr(0, longest_text));
  line.erase(line.find_last_not_of(' ') + 1);
  return line;
}

class ReceivedContent final : public Content {
 public:
  ReceivedContent(Fd socket, const Config& config, int client)
      : socket_(std::move(socket)),
        source_(socket_.get(), config.fetch.timeout + grace),
        sink_(socket_.get(), config.limits.stall),
        reader_(source_, config.layout, {longest_text, 1}),
        writer_(sink_, config.layout) {
    source_.watch_hangup_of(client);
  }

  /// The sentence that came instead of content.
  std::optional<std::string> ask(const Request& request) {
    request.encode(writer_);
    writer_.flush();
    const auto answer = reader_.u64();
    if (answer == follows) return std::nullopt;
    if (answer != failed) throw ConnectionOver("it answered with something else than content");
    return one_sentence(reader_.string(longest_text, "a failure"));
  }
  void read(std::span<char> buffer) override { frames_.read(buffer); }
  std::size_t read_some(std::span<char> buffer) override { return frames_.read_some(buffer); }

 private:
  Fd socket_;
  wire::FdSource source_;
  wire::FdSink sink_;
  wire::Reader reader_;
  wire::Writer writer_;
  wire::FramedSource frames_{reader_};
};

}  // namespace

void Request::encode(wire::Writer& to) const {
  to.u64(magic);
  to.u64(static_cast<std::uint64_t>(origin.kind));
  to.string(origin.url);
  to.string(origin.rev);
  to.u64(static_cast<std::uint64_t>(form));
}

Request Request::decode(wire::Reader& from) {
  if (from.u64() != magic) throw ConnectionOver("this is no request to fetch");
  Request request;
  const auto kind = from.u64();
  request.origin.url = from.string(longest_text, "a URL");
  request.origin.rev = from.string(longest_text, "a revision");
  const auto form = from.u64();
  if (kind > static_cast<std::uint64_t>(Kind::folder) ||
      form > static_cast<std::uint64_t>(Form::flat))
    throw ConnectionOver("a request to fetch has an unknown kind or form");
  request.origin.kind = static_cast<Kind>(kind);
  request.form = static_cast<Form>(form);
  if (!is_canonical(request.origin) ||
      (request.form == Form::flat && request.origin.kind != Kind::file))
    throw ConnectionOver("a request to fetch is not in the one form that it may have");
  return request;
}

void begin_content(wire::Writer& to) {
  to.u64(follows);
}

void send_failure(wire::Writer& to, const std::string& sentence) {
  to.u64(failed);
  to.string(one_sentence(sentence));
}

tl::expected<std::unique_ptr<Content>, std::string> FetchService::fetch(const Request& request,
                                                                        int client) {
  auto socket = wire::connect_unix(config_.sockets.fetch());
  if (!socket)
    return tl::unexpected(
        fmt::format("airlock-fetchd, which fetches what lock files name, is not running: start it "
                    "with `systemctl start airlock-fetchd` ({})",
                    socket.error()));
  try {
    auto content = std::make_unique<ReceivedContent>(*std::move(socket), config_, client);
    if (auto failure = content->ask(request)) return tl::unexpected(*std::move(failure));
    return content;
  } catch (const wire::WatchedHungUp&) {
    throw;
  } catch (const ConnectionOver& over) {
    return tl::unexpected(fmt::format(
        "cannot fetch {}: airlock-fetchd gave no answer ({}); its log says why, as in `journalctl "
        "--unit airlock-fetchd`",
        request.origin.print(), over.what()));
  }
}

}  // namespace airlock::fetch
