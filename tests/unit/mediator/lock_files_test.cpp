#include "daemon/mediator/lock_files.hpp"

#include <boost/filesystem.hpp>
#include <catch2/catch.hpp>
#include <fstream>
#include <nlohmann/json.hpp>

#include "tests/unit/policy/fake_scene.hpp"

using namespace airlock;
namespace fs = boost::filesystem;

namespace {

constexpr const char* a_lock =
    R"([{"url": "https://h/a", "hash": "sha256-AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="}])";

/// A store folder with a source, and a derivation that has it as an input.
struct Store {
  Store() { fs::create_directories(top() / "npins"); }
  ~Store() { fs::remove_all(folder); }
  Store(const Store&) = delete;
  Store& operator=(const Store&) = delete;

  [[nodiscard]] fs::path top() const { return folder / source.base(); }
  void write(const std::string& name, const std::string& text) const {
    std::ofstream((top() / name).string()) << text;
  }
  [[nodiscard]] tl::expected<fetch::Locks, std::string> locks() const {
    return locks_of(derivation, layout, {source});
  }
  void name_in_attribute(const std::string& text) { derivation.environment["airlockLocks"] = text; }

  fs::path folder = fs::temp_directory_path() / fs::unique_path();
  StoreLayout layout = [this] {
    StoreLayout made;
    made.store_dir = folder.string();
    return made;
  }();
  StorePath source = policy::fake_path("project");
  Derivation derivation = [this] {
    Derivation made;
    made.input_sources.insert(source);
    return made;
  }();
};

}  // namespace

TEST_CASE("lock files at the top of input sources are read") {
  const auto* name = GENERATE("flake.lock", "npins/sources.json");
  const Store store;
  store.write(name, a_lock);
  CHECK(store.locks()->size() == 1);
}

TEST_CASE("other files and other paths lock nothing") {
  Store store;
  store.write("other.json", a_lock);
  CHECK(store.locks()->empty());
  store.write("flake.lock", a_lock);
  store.derivation.input_sources.clear();  // it is in the closure, but not a source of the build
  CHECK(store.locks()->empty());
}

TEST_CASE("a broken file that only has the name of a lock file is passed over") {
  const Store store;
  store.write("flake.lock", "not json");
  store.write("npins/sources.json", a_lock);
  CHECK(store.locks()->size() == 1);
}

TEST_CASE("airlockLocks names files below inputs, and they must be right") {
  Store store;
  store.write("deep.json", a_lock);
  store.name_in_attribute(store.top().string() + "/deep.json");
  CHECK(store.locks()->size() == 1);
  store.write("deep.json", "not json");
  CHECK(store.locks().error().find("not JSON") != std::string::npos);
  store.name_in_attribute(store.top().string() + "/missing.json");
  CHECK(store.locks().error().find("cannot open") != std::string::npos);
  store.name_in_attribute(store.layout.print(policy::fake_path("elsewhere")));
  CHECK(store.locks().error().find("not in the closure") != std::string::npos);
  store.name_in_attribute("/etc/passwd");
  CHECK_FALSE(store.locks());
}

TEST_CASE("a name of several lines is told in one") {
  Store store;
  store.write("two\nlines\x1b[31m.json", "not json");
  const nlohmann::json attributes{
      {"airlockLocks", {store.top().string() + "/two\nlines\x1b[31m.json"}}};
  store.derivation.environment["__json"] = attributes.dump();
  CHECK_THAT(store.locks().error(), Catch::Contains("/two lines.json: this is no lock file"));
}

TEST_CASE("nothing outside of the store path is read through it") {
  Store store;
  std::ofstream((store.folder / "outside").string()) << a_lock;
  fs::create_symlink(store.folder / "outside", store.top() / "flake.lock");
  fs::create_symlink("../outside", store.top() / "npins/sources.json");
  CHECK(store.locks()->empty());
  store.name_in_attribute(store.top().string() + "/../outside");
  CHECK_FALSE(store.locks());
}

TEST_CASE("a lock file is bounded") {
  const Store store;
  store.write("flake.lock", std::string(fetch::largest_lock_file, ' ') + a_lock);
  CHECK(store.locks()->empty());
}
