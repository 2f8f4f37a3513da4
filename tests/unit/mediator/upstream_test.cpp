// The connection to nix-daemon, with a daemon behind it that says more than it should.
#include "daemon/mediator/upstream.hpp"

#include <catch2/catch.hpp>
#include <functional>
#include <thread>

#include "daemon/wire/unix_socket.hpp"
#include "tests/support/folder.hpp"
#include "tests/unit/mediator/fakes.hpp"
#include "tests/unit/mediator/one_client_daemon.hpp"

using namespace airlock;
using namespace airlock::fakes;

namespace {

constexpr std::uint64_t most = 1 << 20;

/// Takes one connection, reads one question for a path's info, and says what it was given to say.
class TalkingDaemon {
 public:
  using Answer = std::function<void(wire::Writer& to, wire::Version version)>;

  explicit TalkingDaemon(Answer answer)
      : answer_(std::move(answer)),
        listening_(wire::listen_unix(config().upstream, 0600).value()),
        thread_([this] { serve(); }) {}
  TalkingDaemon(const TalkingDaemon&) = delete;
  TalkingDaemon& operator=(const TalkingDaemon&) = delete;
  ~TalkingDaemon() { thread_.join(); }
  Config config() const {
    Config made;
    made.upstream = folder_ / "daemon";
    made.limits.request_bytes = most;
    return made;
  }

 private:
  void serve() {
    fakes::serve_one_client(listening_.get(),
                            [&](wire::Reader& from, wire::Writer& to, wire::Version version) {
                              (void)from.u64();
                              (void)from.path();
                              answer_(to, version);
                              to.flush();
                              (void)from.u64();
                            });
  }

  test::Folder folder_;
  Answer answer_;
  Fd listening_;
  std::thread thread_;
};

wire::PathInfo with_signatures(std::size_t count, std::size_t size) {
  wire::PathInfo info;
  info.signatures.assign(count, std::string(size, 's'));
  return info;
}

void answer_with(const wire::PathInfo& info, wire::Writer& to, wire::Version version) {
  wire::write_log_message(to, wire::Last{}, version);
  to.boolean(true);
  wire::write_path_info(to, info);
}

const StorePath asked = policy::fake_path("asked");

}  // namespace

TEST_CASE("a reply of upstream's may be so large in all, however it is divided") {
  for (const std::size_t count : {500, 1500}) {
    CAPTURE(count);
    const TalkingDaemon daemon([&](wire::Writer& to, wire::Version version) {
      answer_with(with_signatures(count, 1000), to, version);
    });
    const auto upstream = connect_upstream(daemon.config());
    if (count == 500)
      CHECK(upstream->query_path_info(asked).value()->signatures.size() == count);
    else
      CHECK_THROWS_AS(upstream->query_path_info(asked), UpstreamLost);
  }
}

TEST_CASE("so may each message of its log, and as many as it likes may follow each other") {
  for (const std::size_t fields : {500, 1500}) {
    CAPTURE(fields);
    const TalkingDaemon daemon([&](wire::Writer& to, wire::Version version) {
      const std::vector<wire::Field> all(fields, std::string(1000, 'f'));
      for (int i = 0; i < 4; ++i)
        wire::write_log_message(to, wire::ActivityResult{1, 101, all}, version);
      answer_with({}, to, version);
    });
    const auto upstream = connect_upstream(daemon.config());
    if (fields == 500)
      CHECK(upstream->query_path_info(asked).value());
    else
      CHECK_THROWS_AS(upstream->query_path_info(asked), UpstreamLost);
  }
}

TEST_CASE("a connection over which more came than was asked for is not idle") {
  for (const bool more : {false, true}) {
    CAPTURE(more);
    const TalkingDaemon daemon([&](wire::Writer& to, wire::Version version) {
      answer_with({}, to, version);
      if (more) to.boolean(true);
    });
    const auto upstream = connect_upstream(daemon.config());
    CHECK(upstream->query_path_info(asked).value());
    CHECK(upstream->is_idle() == !more);
  }
}
