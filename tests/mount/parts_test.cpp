// The parts of airlock-fs that need neither root nor a mount.

#include <poll.h>
#include <rapidcheck/catch.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <catch2/catch.hpp>
#include <map>

#include "fusefs/chroot_folder.hpp"
#include "fusefs/condemn.hpp"
#include "fusefs/event_loop.hpp"
#include "fusefs/process.hpp"
#include "fusefs/records.hpp"
#include "fusefs/view/attributes.hpp"
#include "fusefs/view/inode_table.hpp"
#include "fusefs/view/listing_cache.hpp"
#include "fusefs/view/session_tree.hpp"

using namespace airlock;
using namespace airlock::fusefs;

namespace {

StorePath store_path(const std::string& name) {
  return StorePath::parse("0123456789abcdfghijklmnpqrsvwxyz-" + name).value();
}

}  // namespace

TEST_CASE("a process's status is read strictly") {
  const std::string text =
      "Name:\tsh\nState:\tS "
      "(sleeping)\nTgid:\t340\nPPid:\t12\nTracerPid:\t0\nNSpid:\t345\t2\t1\nVmRSS:\t1 "
      "kB\n";
  CHECK(parse_status(text) == ProcessStatus{12, {345, 2, 1}, 340});
  CHECK_FALSE(parse_status(""));
  CHECK_FALSE(parse_status("Name:\tsh\nTgid:\t2\nPPid:\t12\n"));
  CHECK_FALSE(parse_status("Name:\tsh\nTgid:\t2\nNSpid:\t1\n"));
  CHECK_FALSE(parse_status("Name:\tsh\nTgid:\t2\nPPid:\tx\nNSpid:\t1\n"));
  CHECK_FALSE(parse_status("Name:\tsh\nTgid:\t2\nPPid:\t1\nNSpid:\t\n"));
  CHECK_FALSE(parse_status("Name:\tsh\nTgid:\t2\nPPid:\t1\nNSpid:\t1 y\n"));
  CHECK(parse_status("Name:\tsh\nTgid:\t2\nPPid:\t1\nNSpid:\t1\n"));
  CHECK_FALSE(parse_status("Name:\tsh\nPPid:\t1\nNSpid:\t1\n"));
}

TEST_CASE("a program's name cannot forge its start time") {
  const std::string rest =
      " S 1 7 7 0 -1 4194560 100 0 0 0 1 2 0 0 20 0 1 0 4711 1000 200 18446744073709551615\n";
  CHECK(parse_start_time("7 (sh)" + rest) == 4711u);
  CHECK(parse_start_time("7 (a) S 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 99)" + rest) == 4711u);
  CHECK_FALSE(parse_start_time("7 (sh) S 1 7"));
  CHECK_FALSE(parse_start_time(""));
}

TEST_CASE("a build's folder is known by the last names of its root") {
  const auto derivation = store_path("outer.drv");
  const auto folder = "/nix/store/" + derivation.base() + ".chroot";
  CHECK(derivation_in_root(folder) == derivation);
  CHECK(derivation_in_root(folder + "/root") == derivation);
  CHECK(derivation_in_root("/@" + folder + "/root") == derivation);
  for (const auto& other : {std::string("/"), std::string(), std::string("/root"),
                            folder + "//deleted", folder + "/root/root", folder + "/tmp",
                            "/nix/store/" + store_path("outer").base() + ".chroot",
                            "/nix/store/" + derivation.base(), std::string("/x.drv.chroot/root")}) {
    CHECK_FALSE(derivation_in_root(other));
  }
}

TEST_CASE("sessions share what is not a folder") {
  InodeTable table(100);
  const auto place = Place{nullptr, Place::in_store};
  const auto left = table.remember(root_node, "left", {})->id;
  const auto right = table.remember(root_node, "right", {})->id;
  const auto* of_left = table.remember_folder(left, store_node, "folder", place);
  const auto* of_right = table.remember_folder(right, store_node, "folder", place);
  REQUIRE(of_left != nullptr);
  REQUIRE(of_right != nullptr);
  CHECK(of_left->id != of_right->id);
  CHECK(of_left->twin == of_right->twin);
  const auto file = table.remember(of_left->twin, "file", place)->id;
  CHECK(table.remember(of_right->twin, "file", place)->id == file);
  // A second look at the folder does not hold the twin twice.
  CHECK(table.remember_folder(left, store_node, "folder", place)->id == of_left->id);
  table.forget(of_left->id, 2);
  table.forget(of_right->id, 1);
  CHECK(table.find(file) != nullptr);
  table.forget(file, 2);
  table.forget(left, 1);
  table.forget(right, 1);
  CHECK(table.size() == 0);
}

TEST_CASE("this process is alive and itself") {
  const auto stamp = stamp_of(::getpid());
  REQUIRE(stamp);
  const Fd process = open_process(*stamp);
  REQUIRE(process);
  CHECK(pid_of(process.get()) == ::getpid());
  CHECK(is_alive(process.get()));
  CHECK_FALSE(open_process(ProcessStamp{stamp->pid, stamp->start_time + 1}));
}

TEST_CASE("session records survive the journey and nothing else is taken for one") {
  SessionRecord record{4, store_path("outer.drv"), {5, 6}, {7, 8}, std::nullopt};
  CHECK(parse_record(format_record(record)) == record);
  record.first = ProcessStamp{9, 10};
  CHECK(parse_record(format_record(record)) == record);
  record.verified = true;
  const auto text = format_record(record);
  CHECK(parse_record(text) == record);
  for (std::size_t size = 0; size < text.size(); ++size) {
    const auto cut = parse_record(std::string_view(text).substr(0, size));
    // The last lines may be missing; without them it is another record.
    CHECK((!cut || (*cut != record && !cut->verified)));
  }
  CHECK_FALSE(parse_record(text + "more\n"));
  CHECK_FALSE(parse_record("session 4\nderivation ../../etc\nchroot 1 2\nworker 3 4\n"));
  SessionRecord no_derivation{4, store_path("outer"), {5, 6}, {7, 8}, std::nullopt};
  CHECK_FALSE(parse_record(format_record(no_derivation)));
}

TEST_CASE("reasons are cut and cleaned") {
  CHECK(printable("plain words") == "plain words");
  CHECK(printable("a\nb\x1b[31m\xff") == "a?b?[31m?");
  CHECK(printable(std::string(1000, 'x')).size() == 512);
}

TEST_CASE("the tree follows Nix's own layout") {
  SessionTree tree(store_path("outer.drv"), {"/data/store", "/data/var/state"});
  const auto state = tree.child(SessionTree::top, "state");
  REQUIRE(state != SessionTree::nothing_here);
  CHECK(tree.socket_folder() == "state/daemon-socket");
  CHECK(tree.child(tree.socket_parent(), "socket") == SessionTree::nothing_here);
  const auto socket = tree.add_socket();
  CHECK(tree.add_socket() == socket);
  CHECK(tree.entry(socket).kind == SessionTree::Kind::socket);
  tree.set_content({{{"b", store_path("b")}, {"a", store_path("a")}, {"b", store_path("c")}},
                    {{"cores", "3"}, {"raw", "\xff"}}});
  const auto shown = tree.child(SessionTree::top, "airlock");
  const auto conf = tree.entry(tree.child(shown, "nix.conf")).text;
  CHECK(conf.find("\ncores = 3\n") < conf.find("\nsubstituters =\n"));
  CHECK(tree.entry(tree.child(tree.child(shown, "etc"), "nix.conf")).text == conf);
  auto channels = state;
  for (const auto* name : {"profiles", "per-user", "root", "channels"}) {
    channels = tree.child(channels, name);
    REQUIRE(channels != SessionTree::nothing_here);
  }
  const auto& children = tree.entry(channels).children;
  REQUIRE(children.size() == 2);
  CHECK(tree.entry(children[0]).name == "a");
  CHECK(tree.entry(children[1]).text == "/data/store/" + store_path("b").base());
  const auto& script = tree.entry(tree.child(shown, "env")).text;
  CHECK(script.find("export NIX_CONF_DIR=/data/var/airlock\n") != std::string::npos);
}

TEST_CASE("attributes say nothing of the host") {
  const auto file = attributes_of(StoreFile{StoreFile::Kind::executable, 513}, "a/b");
  CHECK(file.st_mode == (S_IFREG | 0555));
  CHECK(file.st_size == 513);
  CHECK(file.st_blocks == 2);
  CHECK(file.st_uid == 0);
  CHECK(file.st_mtim.tv_sec == 1);
  CHECK(file.st_ino == inode_number("a/b"));
  CHECK(inode_number("a/b") != inode_number("a/c"));
  CHECK(inode_number("") != 0);
  CHECK(attributes_of(SessionTree::Kind::folder, 99, "").st_size == 0);
}

TEST_CASE("a name is one node until it is forgotten") {
  InodeTable table(100);
  const auto* folder = table.remember(root_node, "folder", {});
  REQUIRE(folder != nullptr);
  const auto id = folder->id;
  CHECK(table.remember(root_node, "folder", {})->id == id);
  CHECK(table.remember(id, "folder", {})->id != id);
  table.forget(id, 1);
  CHECK(table.find(id) != nullptr);
  table.forget(id, 1);
  CHECK(table.find(id) != nullptr);  // something is in it
  const auto child = table.find(id, "folder")->id;
  table.forget(child, 1);
  CHECK(table.size() == 0);
  CHECK(table.remember(root_node, "folder", {})->id > child);  // never used again
}

TEST_CASE("forgetting too much, or what is not there, is harmless") {
  InodeTable table(100);
  const auto id = table.remember(root_node, "a", {})->id;
  table.forget(id, 1000);
  table.forget(id, 1);
  table.forget(12345, 1);
  table.forget(root_node, 1);
  CHECK(table.size() == 0);
  CHECK(table.find(root_node) != nullptr);
}

TEST_CASE("a detached name is free, and what was below it lives on") {
  InodeTable table(100);
  const auto old = table.remember(root_node, "session", {})->id;
  const auto child = table.remember(old, "child", {})->id;
  table.detach(root_node, "session");
  table.detach(root_node, "session");
  CHECK(table.find(root_node, "session") == nullptr);
  const auto fresh = table.remember(root_node, "session", {})->id;
  CHECK(fresh != old);
  table.forget(old, 1);
  table.forget(child, 1);
  CHECK(table.find(root_node, "session")->id == fresh);
  CHECK(table.size() == 1);
}

TEST_CASE("the table is bounded") {
  InodeTable table(2);
  CHECK(table.remember(root_node, "a", {}) != nullptr);
  CHECK(table.remember(root_node, "b", {}) != nullptr);
  CHECK(table.remember(root_node, "c", {}) == nullptr);
  CHECK(table.remember(root_node, "a", {}) != nullptr);
  CHECK(table.remember(999, "a", {}) == nullptr);
}

TEST_CASE("whatever the kernel looks up and forgets, the table ends empty") {
  rc::prop("lookups and forgets balance", [](const std::vector<std::uint8_t>& steps) {
    InodeTable table(1000);
    std::map<NodeId, std::uint64_t> counts;
    std::vector<NodeId> known{root_node};
    for (const auto step : steps) {
      const NodeId parent = known[step % known.size()];
      if (table.find(parent) == nullptr) continue;
      const auto* node =
          table.remember(parent, std::string(1, static_cast<char>('a' + step % 3)), {});
      RC_ASSERT(node != nullptr);
      const auto id = node->id;
      ++counts[id];
      known.push_back(id);
      if (step % 7 == 0) table.detach(parent, std::string(node->name));
      if (step % 5 == 0) {
        table.forget(id, 1);
        --counts[id];
      }
    }
    // In order of age: parents before what is in them, which is the harder way round.
    for (const auto& [id, count] : counts) {
      RC_ASSERT(count == 0 || table.find(id) != nullptr);
      table.forget(id, count);
    }
    RC_ASSERT(table.size() == 0);
  });
}

TEST_CASE("listings are kept up to a bound, the oldest going first") {
  ListingCache cache;
  const auto listing = [](std::size_t names) {
    return std::make_shared<const std::vector<ListedFile>>(names);
  };
  for (NodeId id = 1; id <= 64; ++id) cache.keep(id, listing(1));
  CHECK(cache.find(1) != nullptr);
  cache.keep(65, listing(1));
  CHECK(cache.find(1) != nullptr);  // used since
  CHECK(cache.find(2) == nullptr);
  cache.keep(66, listing(3u << 20));  // larger than all that may be kept, and kept alone
  CHECK(cache.find(66) != nullptr);
  CHECK(cache.find(1) == nullptr);
}

TEST_CASE("the loop calls what is watched and what is due, and nothing that was forgotten") {
  EventLoop loop;
  std::array<int, 2> first{};
  std::array<int, 2> second{};
  REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM, 0, first.data()) == 0);
  REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM, 0, second.data()) == 0);
  int calls = 0;
  bool cancelled_called = false;
  // Both are readable at once; whichever comes first forgets the other.
  for (const auto& [mine, other] : {std::pair(first[0], second[0]), {second[0], first[0]}}) {
    loop.watch(mine, POLLIN, [&loop, &calls, mine = mine, other = other](short) {
      ++calls;
      loop.forget(other);
      loop.forget(mine);
    });
  }
  REQUIRE(::write(first[1], "x", 1) == 1);
  REQUIRE(::write(second[1], "x", 1) == 1);
  const auto cancelled = loop.after(std::chrono::milliseconds(1), [&] { cancelled_called = true; });
  loop.cancel(cancelled);
  const auto begin = std::chrono::steady_clock::now();
  loop.after(std::chrono::milliseconds(20), [&] { loop.stop(); });
  loop.run();
  CHECK(calls == 1);
  CHECK_FALSE(cancelled_called);
  CHECK(std::chrono::steady_clock::now() - begin >= std::chrono::milliseconds(20));
  for (const int fd : {first[0], first[1], second[0], second[1]}) ::close(fd);
}
