#include "fusefs/boundary/message.hpp"

#include <rapidcheck/catch.h>

#include <catch2/catch.hpp>
#include <stdexcept>

using airlock::boundary::decode;
using airlock::boundary::encode;
using airlock::boundary::max_packet;
using airlock::boundary::max_strings;
using airlock::boundary::Message;
using airlock::boundary::MessageType;

namespace {

const MessageType every_type[] = {
    MessageType::announce,        MessageType::settled,        MessageType::status,
    MessageType::announced,       MessageType::refused,        MessageType::done,
    MessageType::status_is,       MessageType::session_opened, MessageType::session_ended,
    MessageType::session_settled, MessageType::session_closed, MessageType::session_ready,
    MessageType::session_refused, MessageType::reveal,         MessageType::grant,
    MessageType::verify,          MessageType::condemn,        MessageType::succeeded,
    MessageType::failed,          MessageType::welcome,        MessageType::session_resumed,
    MessageType::resumption_over,
};

Message sample() {
  return {MessageType::grant, 0x0102030405060708, 7, {"a", "", "bc"}};
}

/// The sample with the byte at offset replaced.
std::string corrupted(std::size_t offset, char byte) {
  auto packet = encode(sample());
  packet.at(offset) = byte;
  return packet;
}

}  // namespace

TEST_CASE("every type of message survives the journey") {
  for (const auto type : every_type) {
    const Message message{type, 1, 2, {"one", std::string("with\0nul", 8)}};
    const auto result = decode(encode(message));
    REQUIRE(result);
    CHECK(*result == message);
  }
}

TEST_CASE("any message survives the journey") {
  rc::prop("decode(encode(m)) == m",
           [](std::uint64_t session, std::uint64_t request, std::vector<std::string> strings) {
             const Message message{MessageType::reveal, session, request, std::move(strings)};
             const auto result = decode(encode(message));
             RC_ASSERT(result.has_value());
             RC_ASSERT(*result == message);
           });
}

TEST_CASE("the layout is what the header promises") {
  const Message message{MessageType::settled, 3, 4, {"xy"}};
  const std::string expected(
      "\x01\0\0\0"
      "\x02\0\0\0"
      "\x03\0\0\0\0\0\0\0"
      "\x04\0\0\0\0\0\0\0"
      "\x01\0\0\0"
      "\x02\0\0\0xy",
      34);
  CHECK(encode(message) == expected);
}

TEST_CASE("a packet cut anywhere is refused") {
  const auto packet = encode(sample());
  for (std::size_t size = 0; size < packet.size(); ++size) {
    INFO("first " << size << " bytes");
    CHECK_FALSE(decode(std::string_view(packet).substr(0, size)));
  }
}

TEST_CASE("a packet with anything after its end is refused") {
  CHECK_FALSE(decode(encode(sample()) + '\0'));
}

TEST_CASE("corrupted packets are refused") {
  CHECK_FALSE(decode(corrupted(0, 2)));      // another format
  CHECK_FALSE(decode(corrupted(4, 0)));      // no such type
  CHECK_FALSE(decode(corrupted(5, 1)));      // no such type
  CHECK_FALSE(decode(corrupted(24, 2)));     // fewer strings than there are
  CHECK_FALSE(decode(corrupted(24, 4)));     // more strings than there are
  CHECK_FALSE(decode(corrupted(27, 0x7f)));  // a count that nothing could hold
  CHECK_FALSE(decode(corrupted(31, 0x7f)));  // a length that nothing could hold
}

TEST_CASE("no packet makes decode misbehave") {
  rc::prop("what decode accepts is what encode makes", [] {
    auto packet = encode(sample());
    const auto offset = *rc::gen::inRange<std::size_t>(0, packet.size());
    packet[offset] = *rc::gen::arbitrary<char>();
    const auto result = decode(packet);
    if (result) RC_ASSERT(encode(*result) == packet);
  });
}

TEST_CASE("what is too long is neither made nor taken") {
  Message message{MessageType::reveal, 1, 1, {}};
  message.strings.assign(max_strings, "x");
  CHECK(decode(encode(message)));
  message.strings.emplace_back("x");
  CHECK_THROWS_AS(encode(message), std::length_error);
  message.strings.assign(1, std::string(max_packet, 'x'));
  CHECK_THROWS_AS(encode(message), std::length_error);
  message.strings.assign(1, std::string(max_packet - 32, 'x'));
  CHECK(decode(encode(message)));
  CHECK_FALSE(decode(encode(message) + "y"));
}
