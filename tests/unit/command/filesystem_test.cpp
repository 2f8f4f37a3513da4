#include "daemon/command/filesystem.hpp"

#include <catch2/catch.hpp>

#include "daemon/command/status.hpp"
#include "tests/unit/command/fake_filesystem.hpp"

namespace airlock::command {
namespace {

using boundary::Message;
using boundary::MessageType;
using boundary::Received;
using test::FakeFilesystem;

constexpr std::chrono::milliseconds patience{200};
const Message question{.type = MessageType::status};

TEST_CASE("an answer of airlock-fs is handed on") {
  const FakeFilesystem fake([](const Received& received) {
    return Message{.type = received.message.type == MessageType::status ? MessageType::status_is
                                                                        : MessageType::refused,
                   .strings = {"connected", "3"}};
  });
  const auto answer = ask_filesystem(fake.sockets(), question, -1, patience);
  REQUIRE(answer.has_value());
  CHECK(answer->type == MessageType::status_is);
  CHECK(answer->strings == std::vector<std::string>{"connected", "3"});
}

TEST_CASE("nobody listening is told apart from silence") {
  boundary::SocketPaths nowhere{.run = "/nonexistent"};
  const auto down = ask_filesystem(nowhere, question, -1, patience);
  REQUIRE_FALSE(down.has_value());
  CHECK(down.error().down);

  const FakeFilesystem fake([](const Received&) { return std::nullopt; });
  const auto silent = ask_filesystem(fake.sockets(), question, -1, patience);
  REQUIRE_FALSE(silent.has_value());
  CHECK_FALSE(silent.error().down);
  CHECK_THAT(silent.error().sentence,
             Catch::Contains("does not answer") && Catch::Contains("in time"));
}

TEST_CASE("status is an exit code") {
  Config config;
  const auto status_with = [&](const std::vector<std::string>& strings) {
    const FakeFilesystem fake([&](const Received&) {
      return Message{.type = MessageType::status_is, .strings = strings};
    });
    config.sockets = fake.sockets();
    return show_status(config, std::chrono::seconds(0));
  };
  CHECK(status_with({"connected", "0"}) == 0);
  CHECK(status_with({"disconnected", "0"}) == 3);
  CHECK(status_with({}) == 3);
  config.sockets.run = "/nonexistent";
  CHECK(show_status(config, std::chrono::seconds(0)) == 3);
}

}  // namespace
}  // namespace airlock::command
