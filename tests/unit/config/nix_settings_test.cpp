#include "daemon/config/nix_settings.hpp"

#include <catch2/catch.hpp>
#include <cstdlib>
#include <filesystem>
#include <fstream>

namespace airlock {
namespace {

using Words = std::vector<std::string>;

class Folder {
 public:
  Folder() {
    std::string name = "/tmp/airlock-conf-XXXXXX";
    path_ = ::mkdtemp(name.data());
  }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  ~Folder() { std::filesystem::remove_all(path_); }
  std::string write(const std::string& name, const std::string& text) const {
    std::ofstream(path_ / name) << text;
    return path_ / name;
  }

 private:
  std::filesystem::path path_;
};

TEST_CASE("settings are read as Nix reads them") {
  const Folder folder;
  (void)folder.write("more.conf", "secret-key-files = /c\nnested = yes\n");
  const auto file = folder.write("nix.conf",
                                 "# a comment\n"
                                 "\n"
                                 "  cores =   4   # of eight\n"
                                 "empty =\n"
                                 "secret-key-files = /a /b\n"
                                 "!include missing.conf\n"
                                 "include more.conf\n"
                                 "extra-secret-key-files = /d /e\r\n"
                                 "last = line");
  NixSettings settings;
  REQUIRE(settings.apply_file(file).has_value());
  CHECK(settings.words("cores") == Words{"4"});
  CHECK(settings.words("empty").empty());
  CHECK(settings.words("unknown").empty());
  CHECK(settings.words("secret-key-files") == Words{"/c", "/d", "/e"});
  CHECK(settings.words("nested") == Words{"yes"});
  CHECK(settings.words("last") == Words{"line"});
}

TEST_CASE("the variable's settings lie over the file's") {
  const Folder folder;
  NixSettings settings;
  REQUIRE(settings.apply_file(folder.write("nix.conf", "secret-key-files = /a\n")).has_value());
  settings.apply_variable("bash-prompt = two\nlines here\nsecret-key-files = /b\ninclude /none\n");
  CHECK(settings.words("secret-key-files") == Words{"/b"});
  settings.apply_variable("secret-key-files = ");
  CHECK(settings.words("secret-key-files").empty());
}

TEST_CASE("a missing file counts as empty, as it does for Nix") {
  NixSettings settings;
  CHECK(settings.apply_file("/nonexistent/nix.conf").has_value());
}

TEST_CASE("what Nix would refuse is an error that names file and line") {
  const Folder folder;
  NixSettings settings;
  const auto error = [&](const std::string& text) {
    const auto applied = settings.apply_file(folder.write("nix.conf", text));
    REQUIRE_FALSE(applied.has_value());
    return applied.error();
  };
  CHECK_THAT(error("a = b\nnonsense\n"), Catch::Contains("nix.conf:2: this is no setting"));
  CHECK_THAT(error("a : b\n"), Catch::Contains("nix.conf:1: this is no setting"));
  CHECK_THAT(error("include\n"), Catch::Contains("nix.conf:1: this is no setting"));
  CHECK_THAT(error("include gone.conf\n"),
             Catch::Contains("gone.conf, included from") && Catch::Contains("is missing"));
  CHECK_THAT(error("include nix.conf\n"), Catch::Contains("does it include itself?"));
}

}  // namespace
}  // namespace airlock
