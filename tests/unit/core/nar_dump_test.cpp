#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <system_error>

#include "daemon/core/hash.hpp"
#include "daemon/core/nar.hpp"
#include "fusefs/boundary/fd.hpp"

using namespace airlock;
namespace fs = std::filesystem;

namespace {

/// A folder that goes with the test.
class TemporaryFolder {
 public:
  TemporaryFolder() {
    std::string name = (fs::temp_directory_path() / "airlock-nar-XXXXXX").string();
    REQUIRE(::mkdtemp(name.data()) != nullptr);
    path_ = name;
    fd_ = Fd(::open(name.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  }
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;
  ~TemporaryFolder() { fs::remove_all(path_); }

  [[nodiscard]] fs::path operator/(const std::string& name) const { return path_ / name; }
  void write(const std::string& name, const std::string& contents) const {
    std::ofstream(path_ / name, std::ios::binary) << contents;
  }
  [[nodiscard]] std::string dump(const std::string& name) const {
    StringSink sink;
    dump_nar(fd_.get(), name, sink);
    return sink.text();
  }

 private:
  fs::path path_;
  Fd fd_;
};

std::string data(const std::string& name) {
  std::ifstream file(fs::path(AIRLOCK_TEST_DATA) / name, std::ios::binary);
  REQUIRE(file);
  return {std::istreambuf_iterator<char>(file), {}};
}

}  // namespace

TEST_CASE("a dump has the bytes that nix-store --dump writes") {
  const TemporaryFolder folder;
  fs::create_directories(folder / "tree/empty");
  fs::create_directories(folder / "tree/sub/deeper");
  folder.write("tree/zero", "");
  folder.write("tree/eight", "12345678");
  folder.write("tree/sub/nine", "nine byte");
  folder.write("tree/run", "#!/bin/sh\n");
  fs::permissions(folder / "tree/run", fs::perms::owner_all);
  fs::create_symlink("../nowhere", folder / "tree/sub/link");
  folder.write("tree/sub.txt", "x");
  folder.write("tree/Upper", "y");
  folder.write("tree/ünicode", "z");
  folder.write("tree/sub/deeper/-dash", "w");
  const auto tree = folder.dump("tree");
  CHECK(tree == data("tree.nar"));
  CHECK(sha256(tree).nix32() == "0hs4fwasy2d9bpi8kf8r9wwfdpi6czgagrcl1csdrcrlv6qf8y53");

  folder.write("one", "just one file\n");
  CHECK(folder.dump("one") == data("file.nar"));
  fs::create_symlink("target-of-link", folder / "link");
  CHECK(folder.dump("link") == data("symlink.nar"));
}

TEST_CASE("what is dumped can be copied") {
  const TemporaryFolder folder;
  fs::create_directories(folder / "tree");
  for (int i = 0; i < 300; ++i) {
    folder.write("tree/" + std::to_string(i), std::string(static_cast<std::size_t>(i) * 777, 'x'));
  }
  fs::create_symlink(std::string(4095, 't'), folder / "tree/long");
  const auto archive = folder.dump("tree");
  StringSource source(archive);
  StringSink sink;
  CHECK(copy_nar(source, sink) == archive.size());
  CHECK(sink.text() == archive);
}

TEST_CASE("a dump goes as deep as a path can and needs few descriptors") {
  const TemporaryFolder folder;
  std::string name = "d";
  for (int i = 1; i < 1500; ++i) {
    name += "/d";
    if (i % 500 == 499) fs::create_directories(folder / name);
  }
  const auto archive = folder.dump("d");
  NarLimits limits;
  limits.depth = 1500;
  StringSource source(archive);
  StringSink sink;
  CHECK(copy_nar(source, sink, limits) == archive.size());
}

TEST_CASE("a dump follows no symlink and waits for no fifo") {
  const TemporaryFolder folder;
  fs::create_directories(folder / "real/sub");
  fs::create_symlink("real", folder / "alias");
  CHECK_NOTHROW(folder.dump("real/sub"));
  CHECK_THROWS_AS(folder.dump("alias/sub"), std::system_error);
  CHECK_THROWS_AS(folder.dump("absent"), std::system_error);
  REQUIRE(::mkfifo((folder / "real/fifo").c_str(), 0600) == 0);
  CHECK_THROWS_AS(folder.dump("real"), std::system_error);
}
