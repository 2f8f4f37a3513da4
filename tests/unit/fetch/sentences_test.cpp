// What a fetch that fails says: one sentence on one line, with what, where and what to do.
#include <fmt/format.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <boost/filesystem.hpp>
#include <catch2/catch.hpp>
#include <csignal>
#include <cstdlib>
#include <fstream>
#include <thread>

#include "daemon/fetch/conversation.hpp"
#include "daemon/fetch/work.hpp"
#include "daemon/wire/fd_stream.hpp"
#include "daemon/wire/unix_socket.hpp"
#include "fusefs/boundary/fd.hpp"
#include "tests/support/folder.hpp"
#include "tests/unit/fetch/processes.hpp"
#include "tests/unit/fetch/silent_server.hpp"

using namespace airlock;
using namespace airlock::fetch;
using test::Folder;
using test::SilentServer;
namespace fs = boost::filesystem;

namespace {

const std::string no_such_revision(40, '2');

FetchConfig local() {
  FetchConfig config;
  config.schemes = {"https", "http", "file", "path"};
  config.allow_loopback = true;
  return config;
}

std::string failure_of(const Origin& origin, const FetchConfig& config = local()) {
  const Folder folder;
  StringSink sink;
  const auto done = fetch_into({origin, Form::archive}, folder.path.string(), config,
                               [&]() -> Sink& { return sink; });
  REQUIRE_FALSE(done);
  return done.error();
}

void is_sentence(const std::string& text, const Origin& origin, const std::string& reason,
                 const std::string& what_to_do) {
  CHECK_THAT(text, Catch::StartsWith("cannot fetch " + origin.print() + ": ") ||
                       Catch::StartsWith("cannot unpack " + origin.print() + ": "));
  CHECK_THAT(text, Catch::Contains(reason));
  CHECK_THAT(text, Catch::Contains(what_to_do));
  CHECK(std::none_of(text.begin(), text.end(), [](char c) { return c >= 0 && c < 0x20; }));
}

/// A repository with one file of random bytes.
struct Repository : Folder {
  explicit Repository(std::size_t size) {
    std::ofstream file((path / "file").string());
    for (std::size_t i = 0; i < size; ++i) file << static_cast<char>(std::rand());
    file.close();
    run("init -q -b main .");
    run("add .");
    run("-c user.name=a -c user.email=a@a commit -q -m one");
    run("rev-parse HEAD >rev");
    std::ifstream((path / "rev").string()) >> rev;
  }
  void run(const std::string& command) const {
    const auto line =
        fmt::format("cd {} && GIT_CONFIG_NOSYSTEM=1 GIT_CONFIG_GLOBAL=/dev/null git {}",
                    path.string(), command);
    REQUIRE(std::system(line.c_str()) == 0);
  }
  [[nodiscard]] Origin origin() const { return {Kind::git, "file://" + path.string(), rev}; }
  std::string rev;
};

/// In a process of its own whose files may have no more than so many bytes.
std::string failure_with_small_files(const Origin& origin, const FetchConfig& config,
                                     std::uint64_t most) {
  int ends[2];
  REQUIRE(::pipe(ends) == 0);
  const auto child = ::fork();
  if (child == 0) {
    ::signal(SIGXFSZ, SIG_IGN);
    const rlimit both{most, most};
    ::setrlimit(RLIMIT_FSIZE, &both);
    try {
      const auto text = failure_of(origin, config);
      (void)!::write(ends[1], text.data(), text.size());
    } catch (...) {
      ::_exit(1);  // nothing was said, which fails
    }
    ::_exit(0);
  }
  ::close(ends[1]);
  std::string text(4096, '\0');
  const auto n = ::read(ends[0], text.data(), text.size());
  ::close(ends[0]);
  ::waitpid(child, nullptr, 0);
  text.resize(n > 0 ? static_cast<std::size_t>(n) : 0);
  return text;
}

}  // namespace

TEST_CASE("sentences: what is not there") {
  const std::string lock = "correct the URL";
  const Origin file{Kind::file, "file:///nonexistent/a", ""};
  is_sentence(failure_of(file), file, "/nonexistent/a", lock);
  const Origin host{Kind::file, "http://127.0.0.1:1/a", ""};
  is_sentence(failure_of(host), host, "connect", lock);
  const Origin folder{Kind::folder, "path:/nonexistent", ""};
  is_sentence(failure_of(folder), folder, "No such file or directory", "it has to be there");
  const Origin git{Kind::git, "file:///nonexistent", no_such_revision};
  is_sentence(failure_of(git), git, "does not appear to be a git repository", lock);
  const Origin git_host{Kind::git, "http://127.0.0.1:1/a", no_such_revision};
  is_sentence(failure_of(git_host), git_host, "connect", lock);
}

TEST_CASE("sentences: a repository without the revision") {
  const Repository repository(10);
  auto origin = repository.origin();
  origin.rev = no_such_revision;
  is_sentence(failure_of(origin), origin, "no such revision", "correct it in its lock");
}

TEST_CASE("a repository's branches are not a file each") {
  const Repository repository(10);
  std::ofstream packed((repository.path / ".git/packed-refs").string());
  for (int i = 0; i < 2000; ++i)
    packed << fmt::format("{} refs/heads/branch-{:04}\n", repository.rev, i);
  packed.close();
  auto origin = repository.origin();
  origin.rev = no_such_revision;  // so that all of them are asked for
  const Folder folder;
  StringSink sink;
  CHECK_FALSE(fetch_into({origin, Form::archive}, folder.path.string(), local(),
                         [&]() -> Sink& { return sink; }));
  CHECK(fs::exists(folder.path / "whole/packed-refs"));
  const fs::recursive_directory_iterator files(folder.path);
  CHECK(std::distance(begin(files), end(files)) < 200);
}

TEST_CASE("sentences: a repository that is larger than allowed") {
  const Repository repository(4 << 20);
  auto config = local();
  config.max_bytes = 1 << 20;
  is_sentence(failure_with_small_files(repository.origin(), config, 1 << 20), repository.origin(),
              "larger than 1048576 bytes", "raise fetch.max-bytes");
}

TEST_CASE("sentences: what is no archive") {
  const Folder folder;
  std::ofstream((folder.path / "a").string()) << "<html>not found</html>\n";
  const Origin origin{Kind::tarball, "file://" + (folder.path / "a").string(), ""};
  is_sentence(failure_of(origin), origin, "no archive", "lock the URL of a tar or zip archive");
}

TEST_CASE("sentences: a server that does not answer in time") {
  const SilentServer server;
  auto config = local();
  config.timeout = std::chrono::seconds(1);
  const auto kind = GENERATE(Kind::file, Kind::git);
  const Origin origin{kind, server.url, kind == Kind::git ? no_such_revision : ""};
  is_sentence(failure_of(origin, config), origin, "1", "raise fetch.timeout");
}

TEST_CASE("sentences: git is killed") {
  const SilentServer server;
  const Origin origin{Kind::git, server.url, no_such_revision};
  std::atomic<bool> over = false;
  std::thread killer([&] {
    while (!over) {
      if (const auto git = test::child_of(::getpid()); git > 0) ::kill(git, SIGKILL);
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
  });
  const auto said = failure_of(origin);
  over = true;
  killer.join();
  is_sentence(said, origin, "git was ended by signal 9", "build again");
}

TEST_CASE("sentences: what airlock-fetchd says is one line, whatever it says") {
  const Folder folder;
  Config config;
  config.sockets.run = folder.path.string();
  fs::create_directories(folder.path / "airlock-fetch");
  auto listening = wire::listen_unix(config.sockets.fetch(), 0600);
  REQUIRE(listening);
  const auto said = GENERATE(std::string("first\nsecond\x1b[31m\r\n\tthird\n"), std::string());
  std::thread fetchd([&] {
    const Fd socket(::accept(listening->get(), nullptr, nullptr));
    wire::FdSource source(socket.get(), std::chrono::seconds(20));
    wire::FdSink sink(socket.get(), std::chrono::seconds(20));
    wire::Reader reader(source, config.layout, {64 * 1024, 1});
    wire::Writer writer(sink, config.layout);
    (void)Request::decode(reader);
    if (said.empty()) return;  // broken off
    writer.u64(1);
    writer.string(said);
    writer.flush();
  });
  FetchService service(config);
  const auto content = service.fetch({{Kind::file, "https://h/a", ""}, Form::flat}, -1);
  fetchd.join();
  REQUIRE_FALSE(content);
  if (said.empty()) {
    CHECK_THAT(content.error(),
               Catch::StartsWith("cannot fetch https://h/a: ") && Catch::Contains("journalctl"));
  } else {
    CHECK(content.error() == "first second third");
  }
}
