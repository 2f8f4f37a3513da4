// airlock-fetchd without its user, its mounts and its network.
#include "daemon/fetch/server.hpp"

#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <fstream>
#include <iterator>
#include <optional>
#include <thread>

#include "daemon/fetch/conversation.hpp"
#include "daemon/wire/unix_socket.hpp"
#include "tests/support/folder.hpp"
#include "tests/unit/fetch/processes.hpp"
#include "tests/unit/fetch/silent_server.hpp"

using namespace airlock;
using namespace airlock::fetch;
using test::Folder;
using test::SilentServer;
namespace fs = boost::filesystem;

namespace {

/// The server in a process of its own, for this user, with its log in a file.
class Fetchd {
 public:
  Fetchd() {
    config.sockets.run = folder_.path.string();
    config.fetch.schemes = {"http"};
    config.fetch.allow_loopback = true;
    fs::create_directories(folder_.path / "airlock-fetch");
    fs::create_directories(folder_.path / "working");
    auto listening = wire::listen_unix(config.sockets.fetch(), 0600);
    REQUIRE(listening);
    pid_ = ::fork();
    if (pid_ != 0) return;
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (std::freopen(log_.c_str(), "w", stdout) == nullptr) ::_exit(1);
    Server(config, *std::move(listening), ::getuid(), (folder_.path / "working").string()).run();
    ::_exit(0);
  }
  Fetchd(const Fetchd&) = delete;
  Fetchd& operator=(const Fetchd&) = delete;
  ~Fetchd() { stop(); }

  /// The process of its one fetch, waited for.
  pid_t job() const {
    for (int i = 0; i < 1000; ++i) {
      if (const auto child = test::child_of(pid_); child > 0) return child;
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    return 0;
  }
  void stop() {
    if (pid_ <= 0) return;
    ::kill(pid_, SIGTERM);
    ::waitpid(pid_, nullptr, 0);
    pid_ = 0;
  }
  /// All of it, once it has stopped.
  std::string log() const {
    std::ifstream file(log_);
    return {std::istreambuf_iterator<char>(file), {}};
  }

  Config config;

 private:
  Folder folder_;
  std::string log_ = (folder_.path / "log").string();
  pid_t pid_ = 0;
};

}  // namespace

TEST_CASE("of a fetch that somebody kills the log tells, and not of one that nobody waits for") {
  const bool killed = GENERATE(true, false);
  CAPTURE(killed);
  const SilentServer web;
  Fetchd fetchd;
  int ends[2];
  REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0);
  const Fd client(ends[0]);
  Fd clients_end(ends[1]);
  bool answered = false;
  bool gone = false;
  std::thread asking([&] {
    FetchService service(fetchd.config);
    try {
      answered = service.fetch({{Kind::file, web.url, ""}, Form::flat}, client.get()).has_value();
    } catch (const ConnectionOver&) {
      gone = true;  // the one that waited was seen to go
    }
  });
  const auto job = fetchd.job();
  if (job > 0 && killed) ::kill(job, SIGKILL);
  if (!killed) clients_end.reset();
  asking.join();
  fetchd.stop();
  REQUIRE(job > 0);
  CHECK_FALSE(answered);
  CHECK(gone != killed);
  CAPTURE(fetchd.log());
  CHECK((fetchd.log().find("ended by signal 9") != std::string::npos) == killed);
}
