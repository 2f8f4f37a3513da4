#include "daemon/fetch/addresses.hpp"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <netinet/in.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <span>

namespace airlock::fetch {

namespace {

using Bytes = std::span<const std::uint8_t>;

enum class Reach { anywhere, private_network, loopback, link_local, nowhere };

struct Block {
  std::array<std::uint8_t, 16> begin;
  unsigned bits;
  Reach reach;
};

/// IANA's special-purpose registry, multicast, and where clouds tell secrets to their machines.
constexpr std::array<Block, 20> blocks4{{
    {{0}, 8, Reach::nowhere},
    {{10}, 8, Reach::private_network},
    {{100, 64}, 10, Reach::private_network},
    {{100, 100, 100, 200}, 32, Reach::link_local},  // a cloud's metadata service
    {{127}, 8, Reach::loopback},
    {{168, 63, 129, 16}, 32, Reach::link_local},  // a cloud's own, which it routes like those
    {{169, 254}, 16, Reach::link_local},
    {{172, 16}, 12, Reach::private_network},
    {{192, 0, 0}, 24, Reach::link_local},  // protocols' own, and a cloud's metadata service
    {{192, 0, 2}, 24, Reach::nowhere},     // documentation
    {{192, 31, 196}, 24, Reach::nowhere},  // AS112: the nearest sink for stray questions
    {{192, 52, 193}, 24, Reach::nowhere},  // AMT relays
    {{192, 88, 99}, 24, Reach::nowhere},   // 6to4 relays, given up
    {{192, 168}, 16, Reach::private_network},
    {{192, 175, 48}, 24, Reach::nowhere},     // AS112
    {{198, 18}, 15, Reach::private_network},  // benchmarks
    {{198, 51, 100}, 24, Reach::nowhere},     // documentation
    {{203, 0, 113}, 24, Reach::nowhere},      // documentation
    {{224}, 4, Reach::nowhere},
    {{240}, 4, Reach::nowhere},
}};

/// The same. What is global is in 2000::/3; outside of it only these, and what holds an address of
/// the fourth version, can be anybody's.
constexpr std::array<Block, 11> blocks6{{
    {{0xfc}, 7, Reach::private_network},
    {{0xfd, 0x00, 0x00, 0x42, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x42}, 128, Reach::link_local},
    {{0xfd, 0x00, 0x0e, 0xc2}, 32, Reach::link_local},  // clouds' metadata services, all four
    {{0xfd, 0x00, 0x00, 0xc1}, 32, Reach::link_local},
    {{0xfd, 0x20, 0x00, 0xce}, 32, Reach::link_local},
    {{0xfe, 0x80}, 10, Reach::link_local},
    {{0xfe, 0xc0}, 10, Reach::link_local},  // site-local, given up
    {{0x20, 0x01}, 23, Reach::nowhere},     // protocols: Teredo, benchmarks, AMT, ORCHID, …
    {{0x20, 0x01, 0x0d, 0xb8}, 32, Reach::nowhere},        // documentation
    {{0x26, 0x20, 0x00, 0x4f, 0x80}, 48, Reach::nowhere},  // AS112
    {{0x3f, 0xff}, 20, Reach::nowhere},                    // documentation
}};

bool begins_with(Bytes address, const std::array<std::uint8_t, 16>& begin, unsigned bits) {
  const auto whole = bits / 8;
  if (!std::equal(begin.begin(), begin.begin() + whole, address.begin())) return false;
  if (bits % 8 == 0) return true;
  const auto mask = static_cast<std::uint8_t>(0xff << (8 - bits % 8));
  return (address[whole] & mask) == (begin[whole] & mask);
}

/// The strictest block that holds it.
Reach reach_in(Bytes address, std::span<const Block> blocks) {
  auto reach = Reach::anywhere;
  for (const auto& block : blocks)
    if (begins_with(address, block.begin, block.bits)) reach = std::max(reach, block.reach);
  return reach;
}

Reach reach_of4(Bytes address) {
  return reach_in(address, blocks4);
}

/// Behind a translator that somebody has set up (64:ff9b:1::/48): a private network's, and where
/// the address of the fourth version lies is theirs to choose (RFC 6052). Only what is refused in
/// any case, or this machine's, is told from the rest.
Reach reach_behind_own_translator(Bytes address) {
  constexpr std::array<std::array<std::size_t, 4>, 4> places{
      {{6, 7, 9, 10}, {7, 9, 10, 11}, {9, 10, 11, 12}, {12, 13, 14, 15}}};
  auto reach = Reach::private_network;
  for (const auto& place : places) {
    std::array<std::uint8_t, 4> inner{};
    std::transform(place.begin(), place.end(), inner.begin(), [&](auto i) { return address[i]; });
    const auto there = reach_of4(inner);
    if (there == Reach::loopback || there == Reach::link_local) reach = std::max(reach, there);
  }
  return reach;
}

/// Where an address of the fourth version lies in it, that one counts.
Reach reach_of6(Bytes address) {
  constexpr std::array<std::uint8_t, 16> loopback{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1};
  constexpr std::array<std::uint8_t, 16> mapped{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
  constexpr std::array<std::uint8_t, 16> translated{0, 0x64, 0xff, 0x9b};
  constexpr std::array<std::uint8_t, 16> own_translator{0, 0x64, 0xff, 0x9b, 0, 1};
  constexpr std::array<std::uint8_t, 16> tunnelled{0x20, 0x02};
  constexpr std::array<std::uint8_t, 16> global{0x20};
  if (begins_with(address, loopback, 128)) return Reach::loopback;
  if (begins_with(address, mapped, 96) || begins_with(address, translated, 96))
    return reach_of4(address.subspan(12, 4));
  if (begins_with(address, own_translator, 48)) return reach_behind_own_translator(address);
  if (begins_with(address, tunnelled, 16)) return reach_of4(address.subspan(2, 4));
  const auto reach = reach_in(address, blocks6);
  if (reach == Reach::anywhere && !begins_with(address, global, 3)) return Reach::nowhere;
  return reach;
}

Reach reach_of(const sockaddr& address, socklen_t length) {
  if (address.sa_family == AF_INET && length >= sizeof(sockaddr_in)) {
    sockaddr_in in{};
    std::memcpy(&in, &address, sizeof in);
    std::array<std::uint8_t, 4> bytes{};
    std::memcpy(bytes.data(), &in.sin_addr, bytes.size());
    return reach_of4(bytes);
  }
  if (address.sa_family == AF_INET6 && length >= sizeof(sockaddr_in6)) {
    sockaddr_in6 in{};
    std::memcpy(&in, &address, sizeof in);
    std::array<std::uint8_t, 16> bytes{};
    std::memcpy(bytes.data(), &in.sin6_addr, bytes.size());
    return reach_of6(bytes);
  }
  return Reach::nowhere;
}

}  // namespace

std::string print_address(const sockaddr& address, socklen_t length) {
  std::array<char, INET6_ADDRSTRLEN> text{};
  if (address.sa_family == AF_INET && length >= sizeof(sockaddr_in)) {
    sockaddr_in in{};
    std::memcpy(&in, &address, sizeof in);
    ::inet_ntop(AF_INET, &in.sin_addr, text.data(), text.size());
  } else if (address.sa_family == AF_INET6 && length >= sizeof(sockaddr_in6)) {
    sockaddr_in6 in{};
    std::memcpy(&in, &address, sizeof in);
    ::inet_ntop(AF_INET6, &in.sin6_addr, text.data(), text.size());
  }
  return text.data();
}

std::optional<std::string> refusal_of(const sockaddr& address, socklen_t length,
                                      const FetchConfig& config) {
  const auto printed = print_address(address, length);
  const auto unless = [&](bool allowed, const char* what,
                          const char* key) -> std::optional<std::string> {
    if (allowed) return std::nullopt;
    return fmt::format("it leads to {}, {}: set fetch.{} in {} if that is meant", printed, what,
                       key, Config::default_file);
  };
  switch (reach_of(address, length)) {
    case Reach::anywhere:
      return std::nullopt;
    case Reach::private_network:
      return unless(config.allow_private, "an address of a private network", "allow-private");
    case Reach::loopback:
      return unless(config.allow_loopback, "an address of this machine itself", "allow-loopback");
    case Reach::link_local:
      return fmt::format(
          "it leads to {}, a link-local address, from which nothing is fetched: use another URL",
          printed);
    case Reach::nowhere:
      break;
  }
  return fmt::format("it leads to {}, which is nobody's address: use another URL", printed);
}

}  // namespace airlock::fetch
