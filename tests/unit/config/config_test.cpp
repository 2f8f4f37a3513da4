#include "daemon/config/config.hpp"

#include <unistd.h>

#include <array>
#include <catch2/catch.hpp>
#include <cstdlib>
#include <fstream>
#include <sstream>

#include "daemon/config/parse.hpp"

namespace airlock {
namespace {

constexpr const char* file = "/etc/airlock/airlock.toml";

std::string error_of(const std::string& text) {
  const auto config = parse_config(text, file, Config{});
  REQUIRE_FALSE(config.has_value());
  return config.error();
}

TEST_CASE("an empty configuration is the default one") {
  const auto config = parse_config("", file, Config{});
  REQUIRE(config.has_value());
  CHECK(config->user == "airlock");
  CHECK(config->features == std::vector<std::string>{"airlock"});
  CHECK(config->fixed_output == FixedOutputPolicy::sealed);
  CHECK(config->limits.connections == 64);
  CHECK(config->pre_build_hook.empty());
}

TEST_CASE("every key of the configuration is read") {
  const auto config = parse_config(R"(
user = "lock"
group = "locks"
features = ["airlock", "recursive-nix"]
ledger = "/tmp/ledger.sqlite"
upstream = "/run/other/socket"
fixed-output = "closed"
[hooks]
pre-build = "/etc/nix/pre"
post-build = "/etc/nix/post"
[limits]
connections = 3
string-bytes = 4_096
list-items = 1024
request-bytes = 2_000_000
derivation-bytes = 0x100000
nar-bytes = 1099511627776
handshake = 5
stall = 60
depth = 2
paths = 20
granted-bytes = 5_000
operations = 10
builds = 6
machine-builds = 7
build-time = 8
starvation = 9
ledger-days = 11
)",
                                   file, Config{});
  REQUIRE(config.has_value());
  CHECK(config->user == "lock");
  CHECK(config->group == "locks");
  CHECK(config->features == std::vector<std::string>{"airlock", "recursive-nix"});
  CHECK(config->ledger == "/tmp/ledger.sqlite");
  CHECK(config->upstream == "/run/other/socket");
  CHECK(config->fixed_output == FixedOutputPolicy::closed);
  CHECK(config->pre_build_hook == "/etc/nix/pre");
  CHECK(config->post_build_hook == "/etc/nix/post");
  CHECK(config->limits.connections == 3);
  CHECK(config->limits.string_bytes == 4096);
  CHECK(config->limits.list_items == 1024);
  CHECK(config->limits.request_bytes == 2'000'000);
  CHECK(config->limits.derivation_bytes == 0x100000);
  CHECK(config->limits.nar_bytes == 1ull << 40);
  CHECK(config->limits.handshake == std::chrono::seconds(5));
  CHECK(config->limits.stall == std::chrono::seconds(60));
  CHECK(config->limits.depth == 2);
  CHECK(config->limits.paths == 20);
  CHECK(config->limits.granted_bytes == 5000);
  CHECK(config->limits.operations == 10);
  CHECK(config->limits.builds == 6);
  CHECK(config->limits.machine_builds == 7);
  CHECK(config->limits.build_time == std::chrono::seconds(8));
  CHECK(config->limits.starvation == std::chrono::seconds(9));
  CHECK(config->limits.ledger_days == 11);
}

/// docs/airlock.toml, and the same with the keys that have no default as well.
std::string documented(bool with_every_key) {
  std::ifstream in(AIRLOCK_DOCS "/airlock.toml");
  REQUIRE(in);
  std::string text;
  for (std::string line; std::getline(in, line); text += line + "\n")
    if (with_every_key && line.starts_with('#') && !line.starts_with("# ")) line.erase(0, 1);
  return text;
}

TEST_CASE("the documented configuration is the default one") {
  const auto config = parse_config(documented(false), file, Config{});
  REQUIRE(config.has_value());
  const Config defaults;
  CHECK(config->user == defaults.user);
  CHECK(config->group == defaults.group);
  CHECK(config->features == defaults.features);
  CHECK(config->ledger == defaults.ledger);
  CHECK(config->upstream == defaults.upstream);
  CHECK(config->fixed_output == defaults.fixed_output);
  CHECK(config->pre_build_hook == defaults.pre_build_hook);
  CHECK(config->post_build_hook == defaults.post_build_hook);
  CHECK(config->limits == defaults.limits);
  CHECK(config->fetch == defaults.fetch);
}

TEST_CASE("the documented configuration has every key") {
  const auto text = documented(true);
  REQUIRE(parse_config(text, file, Config{}).has_value());
  for (const std::string table : {"", "[hooks]", "[limits]", "[fetch]"}) {
    // What the parser would have instead of a key that it does not know: all of that table.
    const auto said = error_of(table + "\nno-such-key = 1");
    const auto first = said.find("one of ") + 7;
    std::stringstream names(said.substr(first, said.find(", or remove") - first));
    const auto start = table.empty() ? 0 : text.find("\n" + table + "\n") + 1;
    const auto keys = "\n" + text.substr(start, text.find("\n[", start) - start);
    for (std::string name; std::getline(names >> std::ws, name, ',');) {
      const bool is_table = text.find("\n[" + name + "]\n") != std::string::npos;
      INFO(table << " " << name);
      CHECK((keys.find("\n" + name + " = ") != std::string::npos || (table.empty() && is_table)));
    }
  }
}

TEST_CASE("a mistake is a sentence with file, line, key and remedy") {
  struct Mistake {
    const char* text;
    const char* sentence;
  };
  const auto mistake = GENERATE(values<Mistake>({
      {"\nuzer = 'x'",
       "airlock.toml:2: unknown key 'uzer': correct it to one of user, group, features, ledger, "
       "upstream, fixed-output, hooks, limits, fetch, or remove it"},
      {"user = 'x'\nlimits.conections = 1",
       "airlock.toml:2: unknown key 'limits.conections': correct it to one of connections,"},
      {"user = 1", "airlock.toml:1: 'user' must be the name of an account"},
      {"user = ''", "'user' must be the name of an account"},
      {"user = '-x'", "'user' must be the name of an account"},
      {"features = 'airlock'", "'features' must be a list of feature names"},
      {"features = []", "'features' must be a list of feature names"},
      {"features = ['a b']", "'features' must be a list of feature names"},
      {"features = [1]", "'features' must be a list of feature names"},
      {"ledger = 'ledger.sqlite'", "'ledger' must be an absolute path in quotes"},
      {"upstream = true", "'upstream' must be an absolute path in quotes"},
      {"fixed-output = 'shut'", "'fixed-output' must be \"sealed\", \"open\" or \"closed\""},
      {"hooks = 'x'", "'hooks' must be a table: write [hooks] and its keys below it"},
      {"[hooks]\npre-build = 'sh -c x'",
       "airlock.toml:2: 'hooks.pre-build' must be an absolute path in quotes"},
      {"[hooks]\npost-bild = '/x'\n[limits]\ndepth = 1", "airlock.toml:2: unknown key 'hooks.post"},
      {"[limits]\n\nconnections = 0",
       "airlock.toml:3: 'limits.connections' must be a whole number from 1 to 65536"},
      {"[limits]\nstall = 1.5", "'limits.stall' must be a whole number from 1 to 604800"},
      {"[limits]\nnar-bytes = '1G'", "'limits.nar-bytes' must be a whole number"},
      {"[limits]\nstring-bytes = -1", "'limits.string-bytes' must be a whole number"},
      {"user = ", "airlock.toml:1: this is not TOML: "},
      {"user = 'a'\nuser = 'b'", "airlock.toml:2: this is not TOML: "},
  }));
  INFO(mistake.text);
  const std::string error = error_of(mistake.text);
  CHECK_THAT(error, Catch::Contains(mistake.sentence));
  CHECK(error.find('\n') == std::string::npos);
}

TEST_CASE("what a user reads about a limit names its value, its key and the file") {
  CHECK(limit_hint("build-time", 30) ==
        "the limit is 30; to allow more, raise limits.build-time in /etc/airlock/airlock.toml");
}

TEST_CASE("a file that was named must be there and be readable") {
  const auto missing = Config::load("/nonexistent/airlock.toml");
  REQUIRE_FALSE(missing.has_value());
  CHECK_THAT(missing.error(), Catch::StartsWith("cannot read /nonexistent/airlock.toml: No such"));
  CHECK_FALSE(Config::load("/").has_value());
}

TEST_CASE("a file is laid over the defaults and the layout comes from the environment") {
  std::string name = "/tmp/airlock-config-XXXXXX";
  const Fd created{::mkstemp(name.data())};
  REQUIRE(created.is_open());
  std::ofstream(name) << "[hooks]\npost-build = '/bin/true'\n";
  ::setenv("NIX_STATE_DIR", "/elsewhere/nix", 1);
  const auto config = Config::load(name);
  ::unsetenv("NIX_STATE_DIR");
  ::unlink(name.c_str());
  REQUIRE(config.has_value());
  CHECK(config->post_build_hook == "/bin/true");
  CHECK(config->user == "airlock");
  CHECK(config->layout.state_dir == "/elsewhere/nix");
}

}  // namespace
TEST_CASE("what may be fetched is configured below [fetch]") {
  const auto parsed = [](const std::string& text) { return parse_config(text, "f", Config{}); };
  const auto config = parsed(
      "[fetch]\nuser = 'other'\nschemes = ['https', 'file']\nallow-loopback = true\n"
      "allow-private = true\nca-file = '/ca'\nmax-bytes = 4096\nmax-memory = 16777216\ntimeout = "
      "7\n");
  REQUIRE(config);
  CHECK(config->fetch.user == "other");
  CHECK(config->fetch.allows("file"));
  CHECK_FALSE(config->fetch.allows("http"));
  CHECK(config->fetch.allow_loopback);
  CHECK(config->fetch.allow_private);
  CHECK(config->fetch.ca_file == "/ca");
  CHECK(config->fetch.max_bytes == 4096);
  CHECK(config->fetch.max_memory == 16777216);
  CHECK(config->fetch.timeout == std::chrono::seconds(7));
  CHECK(parsed("[fetch]\nschemes = []\n"));
  CHECK(parsed("[fetch]\nschemes = ['ftp']\n").error() ==
        "f:2: 'fetch.schemes' must be a list of \"https\", \"http\", \"file\", \"path\"");
  CHECK(parsed("[fetch]\nallow-loopback = 1\n").error() ==
        "f:2: 'fetch.allow-loopback' must be true or false");
  CHECK(parsed("[fetch]\nca-file = 'relative'\n").error() ==
        "f:2: 'fetch.ca-file' must be an absolute path in quotes");
  CHECK_FALSE(parsed("[fetch]\ntimeout = 0\n"));
  CHECK_FALSE(parsed("[fetch]\nproxy = 'x'\n"));
}

}  // namespace airlock
