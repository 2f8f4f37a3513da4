#include "daemon/guest/attributes.hpp"

#include <catch2/catch.hpp>
#include <cstdlib>
#include <fstream>

#include "tests/support/folder.hpp"

using namespace airlock;
using namespace airlock::guest;

namespace {

/// A variable for as long as this lives.
class Variable {
 public:
  Variable(const char* name, const std::string& value) : name_(name) {
    if (const char* before = std::getenv(name)) before_ = before;
    ::setenv(name, value.c_str(), 1);
  }
  ~Variable() {
    if (before_)
      ::setenv(name_, before_->c_str(), 1);
    else
      ::unsetenv(name_);
  }
  Variable(const Variable&) = delete;
  Variable& operator=(const Variable&) = delete;

 private:
  const char* name_;
  std::optional<std::string> before_;
};

struct BuildFolder : test::Folder {
  void write(const std::string& text) const { std::ofstream(*this / ".attrs.json") << text; }
};

using Outputs = std::map<std::string, std::string>;

}  // namespace

TEST_CASE("attributes are in variables") {
  const Variable outputs("outputs", "out dev absent-one");
  const Variable out("out", "/nix/store/x-out");
  const Variable dev("dev", "/nix/store/x-dev");
  const Variable locks("airlockLocks", " a  b\n");
  const auto attributes = Attributes::of_this_build();
  REQUIRE(attributes);
  CHECK(attributes->outputs() == Outputs{{"out", "/nix/store/x-out"}, {"dev", "/nix/store/x-dev"}});
  CHECK(attributes->list("airlockLocks") == std::vector<std::string>{"a", "b"});
  CHECK(attributes->text("dev") == "/nix/store/x-dev");
  CHECK_FALSE(attributes->list("no-such-variable"));
}

TEST_CASE(
    "structured attributes are in a file, in the build's folder where its name is the host's") {
  const BuildFolder folder;
  const Variable top("NIX_BUILD_TOP", folder.path.string());
  const Variable file("NIX_ATTRS_JSON_FILE", "/nowhere/on/the/host/.attrs.json");
  const Variable misleading("out", "/nix/store/x-script");
  CHECK_FALSE(Attributes::of_this_build());
  folder.write("[\"no object\"]");
  CHECK_FALSE(Attributes::of_this_build());
  folder.write(R"({"outputs": {"out": "/nix/store/x-out", "odd": 3}, "airlockLocks": ["a", "b"],
                   "mixed": ["a", 1], "airlockFixedOutput": "closed"})");
  const auto attributes = Attributes::of_this_build();
  REQUIRE(attributes);
  CHECK(attributes->outputs() == Outputs{{"out", "/nix/store/x-out"}});
  CHECK(attributes->list("airlockLocks") == std::vector<std::string>{"a", "b"});
  CHECK_FALSE(attributes->list("mixed"));
  CHECK(attributes->text("airlockFixedOutput") == "closed");
  CHECK_FALSE(attributes->text("out"));
}
