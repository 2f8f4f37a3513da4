#include "daemon/fetch/addresses.hpp"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <netinet/in.h>

#include <array>
#include <catch2/catch.hpp>
#include <cstring>

using namespace airlock;

namespace {

std::string refusal(const std::string& text, const FetchConfig& config = {}) {
  sockaddr_storage storage{};
  socklen_t length = 0;
  if (text.find(':') != std::string::npos) {
    sockaddr_in6 in{};
    in.sin6_family = AF_INET6;
    REQUIRE(::inet_pton(AF_INET6, text.c_str(), &in.sin6_addr) == 1);
    std::memcpy(&storage, &in, length = sizeof in);
  } else {
    sockaddr_in in{};
    in.sin_family = AF_INET;
    REQUIRE(::inet_pton(AF_INET, text.c_str(), &in.sin_addr) == 1);
    std::memcpy(&storage, &in, length = sizeof in);
  }
  return fetch::refusal_of(reinterpret_cast<const sockaddr&>(storage), length, config).value_or("");
}

bool says(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

FetchConfig everything() {
  FetchConfig all;
  all.allow_loopback = true;
  all.allow_private = true;
  return all;
}

}  // namespace

TEST_CASE("addresses of the world may be fetched from") {
  for (const auto* address :
       {"1.1.1.1",         "9.255.255.255",   "11.0.0.0",         "100.63.255.255",
        "100.128.0.1",     "126.255.255.255", "128.0.0.1",        "168.63.129.15",
        "169.253.255.255", "172.15.255.255",  "172.32.0.1",       "192.0.1.0",
        "192.167.255.255", "192.169.0.1",     "198.17.255.255",   "198.20.0.0",
        "223.255.255.255", "2000::1",         "2001:200::1",      "2001:db7:ffff::1",
        "2001:db9::1",     "2003::1",         "2606:4700::1",     "3ffe::1",
        "3fff:1000::1",    "::ffff:8.8.8.8",  "64:ff9b::808:808", "2002:808:808::1"}) {
    INFO(address);
    CHECK(refusal(address).empty());
  }
}

TEST_CASE("link-local addresses and clouds' metadata services are refused whatever is configured") {
  for (const auto* address :
       {"169.254.169.254", "169.254.0.1", "fe80::1", "febf::1", "fe80::a9fe:a9fe", "fec0::1",
        "feff::1",
        // Clouds'.
        "100.100.100.200", "168.63.129.16", "192.0.0.192", "fd00:ec2::254", "fd00:ec2::23",
        "fd20:ce::254", "fd00:c1::a9fe:a9fe", "fd00:42::42"}) {
    INFO(address);
    CHECK(says(refusal(address), "link-local"));
    CHECK(says(refusal(address, everything()), "link-local"));
  }
}

TEST_CASE("they are refused inside of addresses of the sixth version, too") {
  for (const auto* text : {"169.254.169.254", "100.100.100.200", "168.63.129.16", "192.0.0.192"}) {
    std::array<std::uint8_t, 4> b{};
    REQUIRE(::inet_pton(AF_INET, text, b.data()) == 1);
    const auto high = b[0] * 256 + b[1];
    const auto low = b[2] * 256 + b[3];
    for (const auto& address :
         {fmt::format("::ffff:{}", text), fmt::format("64:ff9b::{}", text),
          fmt::format("2002:{:x}:{:x}::1", high, low), fmt::format("64:ff9b:1::{}", text),
          fmt::format("64:ff9b:1:ffff:ff:ffff:{}", text),
          fmt::format("64:ff9b:1:{:x}:{:x}:{:x}::", high, b[2], b[3] * 256),
          fmt::format("64:ff9b:1:{:x}:{:x}:{:x}::", b[0], b[1], low),
          fmt::format("64:ff9b:1:0:{:x}:{:x}:{:x}::", b[0], b[1] * 256 + b[2], b[3] * 256)}) {
      INFO(address);
      CHECK(says(refusal(address, everything()), "link-local"));
    }
  }
}

TEST_CASE("addresses that are nobody's are refused whatever is configured") {
  for (const auto* address :
       {"0.0.0.0", "0.1.2.3", "192.0.2.1", "192.31.196.1", "192.52.193.1", "192.88.99.1",
        "192.175.48.1", "198.51.100.1", "203.0.113.1", "224.0.0.1", "239.255.255.255", "240.0.0.1",
        "255.255.255.255",
        // The same inside.
        "::ffff:0.0.0.0", "::ffff:203.0.113.1", "64:ff9b::e000:1", "2002:f000:1::1",
        // IPv4-compatible, IPv4-translated, and what else is outside of 2000::/3.
        "::", "::2", "::127.0.0.1", "::8.8.8.8", "::ffff:0:8.8.8.8", "64:ff9a::1", "100::1",
        "100:0:0:1::1", "1fff::1", "4000::1", "5f00::1", "fe00::1", "ff02::1", "ff0e::1",
        // Protocols' own: Teredo, port control, benchmarks, AMT, AS112, ORCHID, DRIP.
        "2001::1", "2001:0:a9fe:a9fe::", "2001:1::1", "2001:2::1", "2001:3::1", "2001:4:112::1",
        "2001:10::1", "2001:20::1", "2001:30::1", "2001:1ff::1", "2620:4f:8000::1",
        // Documentation.
        "2001:db8::1", "3fff::1", "3fff:fff::1"}) {
    INFO(address);
    CHECK(says(refusal(address, everything()), "nobody's"));
  }
}

TEST_CASE("loopback and private addresses have a key each") {
  FetchConfig loopback;
  loopback.allow_loopback = true;
  FetchConfig private_networks;
  private_networks.allow_private = true;
  for (const auto* address : {"127.0.0.1", "127.255.0.1", "::1", "::ffff:127.0.0.1",
                              "64:ff9b::7f00:1", "64:ff9b:1::7f00:1", "2002:7f00:1::1"}) {
    INFO(address);
    CHECK(says(refusal(address), "allow-loopback"));
    CHECK(says(refusal(address, private_networks), "allow-loopback"));
    CHECK(refusal(address, loopback).empty());
  }
  for (const auto* address :
       {"10.0.0.1", "10.255.255.255", "100.64.0.1", "100.127.255.255", "172.16.0.1",
        "172.31.255.255", "192.168.1.1", "198.18.0.1", "198.19.255.255", "fc00::1", "fd12::1",
        "fdff:ffff::1", "::ffff:10.0.0.1", "64:ff9b::a00:1", "64:ff9b:1::808:808",
        "64:ff9b:1:a00:0:100::", "2002:a00:1::1", "2002:c0a8:101::1"}) {
    INFO(address);
    CHECK(says(refusal(address), "allow-private"));
    CHECK(says(refusal(address, loopback), "allow-private"));
    CHECK(refusal(address, private_networks).empty());
  }
}
