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

constexpr std::array<Block, 13> blocks4{{
    {{0}, 8, Reach::nowhere},
    {{10}, 8, Reach::private_network},
    {{100, 64}, 10, Reach::private_network},
    {{127}, 8, Reach::loopback},
    {{168, 63, 129, 16}, 32, Reach::link_local},  // a cloud's own, which it routes like those
    {{169, 254}, 16, Reach::link_local},
    {{172, 16}, 12, Reach::private_network},
    {{192, 0, 0}, 24, Reach::link_local},
    {{192, 168}, 16, Reach::private_network},
    {{198, 18}, 15, Reach::private_network},
    {{100, 100, 100, 200}, 32, Reach::link_local},
    {{224}, 4, Reach::nowhere},
    {{240}, 4, Reach::nowhere},
}};

constexpr std::array<Block, 7> blocks6{{
    {{0xfd, 0x00, 0x0e, 0xc2}, 32, Reach::link_local},  // a cloud's metadata service
    {{0xfe, 0x80}, 10, Reach::link_local},
    {{0xfe, 0xc0}, 10, Reach::link_local},
    {{0xfc}, 7, Reach::private_network},
    {{0xff}, 8, Reach::nowhere},
    {{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1}, 128, Reach::loopback},
    {{0}, 128, Reach::nowhere},
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

/// Addresses of the sixth version behind which there is one of the fourth.
Reach reach_of6(Bytes address) {
  constexpr std::array<std::uint8_t, 16> mapped{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
  constexpr std::array<std::uint8_t, 16> translated{0, 0x64, 0xff, 0x9b};
  constexpr std::array<std::uint8_t, 16> tunnelled{0x20, 0x02};
  constexpr std::array<std::uint8_t, 16> compatible{};
  const auto reach = reach_in(address, blocks6);
  if (reach != Reach::anywhere) return reach;
  if (begins_with(address, mapped, 96) || begins_with(address, translated, 96) ||
      begins_with(address, compatible, 96))
    return reach_in(address.subspan(12, 4), blocks4);
  if (begins_with(address, tunnelled, 16)) return reach_in(address.subspan(2, 4), blocks4);
  return reach;
}

Reach reach_of(const sockaddr& address, socklen_t length) {
  if (address.sa_family == AF_INET && length >= sizeof(sockaddr_in)) {
    sockaddr_in in{};
    std::memcpy(&in, &address, sizeof in);
    std::array<std::uint8_t, 4> bytes{};
    std::memcpy(bytes.data(), &in.sin_addr, bytes.size());
    return reach_in(bytes, blocks4);
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
