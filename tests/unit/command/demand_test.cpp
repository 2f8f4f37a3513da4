#include "daemon/command/demand.hpp"

#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "tests/unit/skip.hpp"

namespace airlock::command {
namespace {

const std::vector<std::string> features{"airlock", "recursive-nix"};

std::string derivation(const std::string& environment, const std::string& output = "") {
  const std::string path =
      output.empty() ? "/nix/store/0123456789abcdfghijklmnpqrsvwxyz-foo\",\"\",\"" : output;
  return fmt::format(
      R"(Derive([("out","{}")],[],[],"x86_64-linux","/bin/sh",[],[("name","foo"){}]))", path,
      environment);
}

std::string requiring(const std::string& words) {
  return derivation(fmt::format(R"(,("requiredSystemFeatures","{}"))", words));
}

TEST_CASE("a derivation asks by requiring a feature") {
  const StoreLayout layout;
  CHECK(asks(layout, features, requiring("airlock")) == Demand::view);
  CHECK(asks(layout, features, requiring("kvm recursive-nix")) == Demand::view);
  CHECK(asks(layout, features, requiring("kvm")) == Demand::nothing);
  CHECK(asks(layout, features, requiring("airlock-like")) == Demand::nothing);
  CHECK(asks(layout, features, derivation(R"(,("src","the airlock sources"))")) == Demand::nothing);
  CHECK(asks(layout, features, derivation("")) == Demand::nothing);
  CHECK(asks(layout, {"airlock"}, requiring("recursive-nix")) == Demand::nothing);
}

TEST_CASE("structured attributes are looked into") {
  const auto structured = [](const std::string& json) {
    return fmt::format(
        R"(Derive([("out","/nix/store/0123456789abcdfghijklmnpqrsvwxyz-foo","","")],[],[],"x",)"
        R"("/bin/sh",[],[("__json","{}"),("name","foo")]))",
        json);
  };
  CHECK(asks({}, features, structured(R"({\"requiredSystemFeatures\":[\"airlock\"]})")) ==
        Demand::view);
  CHECK(asks({}, features,
             structured(R"({\"requiredSystemFeatures\":[\"airlock\"],\"airlockEtcNix\":true})")) ==
        Demand::view_and_etc);
  CHECK(asks({}, features, structured(R"({\"note\":\"airlock\"})")) == Demand::nothing);
}

TEST_CASE("what cannot be parsed does not ask, unless it seems to") {
  const auto unknown = asks({}, features, "New(airlock,requiredSystemFeatures)");
  REQUIRE_FALSE(unknown.has_value());
  CHECK_THAT(unknown.error(), Catch::StartsWith("cannot tell whether this derivation requires"));
  CHECK(asks({}, features, "airlock") == Demand::nothing);
  CHECK(asks({}, features, "DrvWithVersion(\"xp-dyn-drv\",airlock") == Demand::nothing);
  CHECK(asks({}, features, "") == Demand::nothing);
}

TEST_CASE("outputs whose paths are not known yet cannot be completed, so asking is refused") {
  const auto floating = derivation(R"(,("requiredSystemFeatures","airlock"))", R"(","r:sha256",")");
  const auto asking = asks({}, features, floating);
  REQUIRE_FALSE(asking.has_value());
  CHECK_THAT(asking.error(), Catch::Contains("without __contentAddressed"));
}

class File {
 public:
  explicit File(const std::string& text) {
    name_ = "/tmp/airlock-demand-XXXXXX";
    const int fd = ::mkstemp(name_.data());
    ::fchmod(fd, 0644);
    ::close(fd);
    std::ofstream(name_) << text;
  }
  File(const File&) = delete;
  File& operator=(const File&) = delete;
  ~File() { ::unlink(name_.c_str()); }
  [[nodiscard]] const std::string& name() const { return name_; }

 private:
  std::string name_;
};

Account account() {
  return ::geteuid() == 0 ? Account{65534, 65534} : Account{::geteuid(), ::getegid()};
}

TEST_CASE("a child reads the file") {
  Config config;
  config.features = features;
  CHECK(derivation_asks(config, account(), File(requiring("airlock")).name()) == Demand::view);
  CHECK(derivation_asks(config, account(), File(requiring("kvm")).name()) == Demand::nothing);
}

TEST_CASE("a file that cannot be read is a sentence") {
  const Config config;
  CHECK_THAT(derivation_asks(config, account(), "/nonexistent/x.drv").error(),
             Catch::StartsWith("cannot read /nonexistent/x.drv: No such file"));
  CHECK_THAT(derivation_asks(config, account(), "/").error(),
             Catch::Contains("is not a regular file"));
}

TEST_CASE("the child has none of root's rights") {
  if (::geteuid() != 0) {
    airlock::test::skip("needs root to have rights that the child lacks");
    return;
  }
  const File file(requiring("airlock"));
  ::chmod(file.name().c_str(), 0600);
  CHECK_THAT(derivation_asks(Config{}, account(), file.name()).error(),
             Catch::Contains("Permission denied"));
}

TEST_CASE("a link is not followed and a large file not read") {
  const File file(requiring("airlock"));
  const std::string link = file.name() + ".link";
  std::filesystem::create_symlink(file.name(), link);
  CHECK_FALSE(derivation_asks(Config{}, account(), link).has_value());
  ::unlink(link.c_str());
  Config small;
  small.limits.derivation_bytes = 10;
  CHECK_THAT(derivation_asks(small, account(), file.name()).error(),
             Catch::Contains("derivation-bytes"));
}

}  // namespace
}  // namespace airlock::command
