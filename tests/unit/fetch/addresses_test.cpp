#include "daemon/fetch/addresses.hpp"

#include <arpa/inet.h>
#include <netinet/in.h>

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

}  // namespace

TEST_CASE("addresses of the world may be fetched from") {
  for (const auto* address : {"1.1.1.1", "172.32.0.1", "192.169.0.1", "100.128.0.1", "2606:4700::1",
                              "::ffff:8.8.8.8", "64:ff9b::808:808"}) {
    INFO(address);
    CHECK(refusal(address).empty());
  }
}

TEST_CASE("link-local addresses and nobody's are refused whatever is configured") {
  FetchConfig all;
  all.allow_loopback = true;
  all.allow_private = true;
  for (const auto* address :
       {"169.254.169.254", "::ffff:169.254.169.254", "64:ff9b::a9fe:a9fe", "2002:a9fe:a9fe::1",
        "fe80::1", "fd00:ec2::254", "100.100.100.200", "168.63.129.16"}) {
    INFO(address);
    CHECK(says(refusal(address, all), "link-local"));
  }
  for (const auto* address : {"0.0.0.0", "255.255.255.255", "224.0.0.1", "ff02::1", "::"}) {
    INFO(address);
    CHECK(says(refusal(address, all), "nobody's"));
  }
}

TEST_CASE("loopback and private addresses have a key each") {
  FetchConfig loopback;
  loopback.allow_loopback = true;
  FetchConfig private_networks;
  private_networks.allow_private = true;
  for (const auto* address : {"127.0.0.1", "127.255.0.1", "::1", "::ffff:127.0.0.1"}) {
    INFO(address);
    CHECK(says(refusal(address), "allow-loopback"));
    CHECK(says(refusal(address, private_networks), "allow-loopback"));
    CHECK(refusal(address, loopback).empty());
  }
  for (const auto* address : {"10.0.0.1", "172.16.0.1", "192.168.1.1", "100.64.0.1", "fd12::1"}) {
    INFO(address);
    CHECK(says(refusal(address), "allow-private"));
    CHECK(says(refusal(address, loopback), "allow-private"));
    CHECK(refusal(address, private_networks).empty());
  }
}
