// Nix's database is asked for a closure at once; the answer is what walking the references gives.

#include <fmt/format.h>
#include <rapidcheck/catch.h>
#include <sqlite3.h>

#include <algorithm>
#include <boost/filesystem.hpp>
#include <catch2/catch.hpp>
#include <iterator>
#include <vector>

#include "daemon/store/nix_database.hpp"

using namespace airlock;

namespace {

constexpr const char* schema =
    "create table ValidPaths (id integer primary key autoincrement not null, path text unique not "
    "null, hash text not null, registrationTime integer not null, deriver text, narSize integer, "
    "ultimate integer, sigs text, ca text);"
    "create table Refs (referrer integer not null, reference integer not null, primary key "
    "(referrer, reference));"
    "create index IndexReferrer on Refs(referrer);"
    "create index IndexReference on Refs(reference);";

StorePath path_of(std::size_t number) {
  return StorePath::parse(fmt::format("{:032}-p", number)).value();
}

/// A store of `size` paths in a temporary folder; edges are (referrer, reference).
struct Store {
  Store(std::size_t size, const std::vector<std::pair<std::size_t, std::size_t>>& edges) {
    layout.state_dir = folder.string();
    boost::filesystem::create_directories(folder / "db");
    sqlite3* handle = nullptr;
    REQUIRE(sqlite3_open(layout.database().c_str(), &handle) == SQLITE_OK);
    std::string text = std::string(schema) + "begin;";
    for (std::size_t i = 0; i < size; ++i)
      text += fmt::format(
          "insert into ValidPaths (id, path, hash, registrationTime, narSize) values ({}, '{}', "
          "'', 0, {});",
          i + 1, layout.print(path_of(i)), 100 + i);
    for (const auto& [from, to] : edges)
      text += fmt::format("insert or ignore into Refs values ({}, {});", from + 1, to + 1);
    REQUIRE(sqlite3_exec(handle, (text + "commit;").c_str(), nullptr, nullptr, nullptr) ==
            SQLITE_OK);
    sqlite3_close(handle);
  }
  Store(const Store&) = delete;
  Store& operator=(const Store&) = delete;
  ~Store() {
    boost::system::error_code ignored;
    boost::filesystem::remove_all(folder, ignored);
  }
  boost::filesystem::path folder = boost::filesystem::temp_directory_path() /
                                   boost::filesystem::unique_path("airlock-test-%%%%%%%%");
  StoreLayout layout;
};

}  // namespace

TEST_CASE("a closure is what the references lead to") {
  rc::prop("whatever the graph", [] {
    constexpr std::size_t size = 12;
    const auto number = rc::gen::inRange<std::size_t>(0, size);
    const auto some = rc::gen::map(rc::gen::container<std::vector<std::size_t>>(number),
                                   [](const std::vector<std::size_t>& numbers) {
                                     return std::set<std::size_t>(numbers.begin(), numbers.end());
                                   });
    const auto edges = *rc::gen::container<std::vector<std::pair<std::size_t, std::size_t>>>(
        rc::gen::pair(number, number));
    const auto starts = *some;
    const auto known = *some;
    std::set<std::size_t> reached;
    std::set_difference(starts.begin(), starts.end(), known.begin(), known.end(),
                        std::inserter(reached, reached.end()));
    for (bool grown = true; grown;) {
      grown = false;
      for (const auto& [from, to] : edges)
        if (reached.contains(from) && !known.contains(to))
          grown = reached.insert(to).second || grown;
    }
    std::set<StorePath> asked;
    NixDatabase::Sizes expected;
    std::set<StorePath> there;
    for (const auto start : starts) asked.insert(path_of(start));
    for (const auto one : reached) expected.emplace(path_of(one), 100 + one);
    for (const auto one : known) there.insert(path_of(one));
    const Store store(size, edges);
    const auto database = NixDatabase::open(store.layout);
    RC_ASSERT(database.has_value());
    const auto closure =
        (*database)->closure(asked, [&](const StorePath& path) { return there.contains(path); });
    RC_ASSERT(closure.has_value());
    RC_ASSERT(*closure == expected);
  });
}

TEST_CASE("a closure of what is not valid is none") {
  const Store store(2, {{0, 1}});
  const auto database = NixDatabase::open(store.layout);
  REQUIRE(database);
  CHECK((*database)->closure({path_of(0), path_of(7)}, {}).value() == std::nullopt);
  CHECK((*database)->closure({path_of(0)}, {}).value()->size() == 2);
}
