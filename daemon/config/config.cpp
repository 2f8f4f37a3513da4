#include "daemon/config/config.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

#include "daemon/config/parse.hpp"

namespace airlock {

namespace {

constexpr std::size_t largest_file = 1 << 20;

tl::unexpected<std::string> unreadable(const std::string& file, int error) {
  return tl::make_unexpected("cannot read " + file + ": " + std::strerror(error) +
                             ": correct its permissions or remove it");
}

}  // namespace

std::string limit_hint(std::string_view key, std::uint64_t value) {
  return "the limit is " + std::to_string(value) + "; to allow more, raise limits." +
         std::string(key) + " in " + Config::default_file;
}

bool FetchConfig::allows(std::string_view scheme) const {
  return std::find(schemes.begin(), schemes.end(), scheme) != schemes.end();
}

tl::expected<Config, std::string> Config::load(const std::string& file) {
  Config defaults;
  defaults.layout = StoreLayout::from_environment();

  const Fd opened{::open(file.c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY)};
  if (!opened) {
    if (errno == ENOENT && file == default_file) return defaults;
    return unreadable(file, errno);
  }
  std::string text;
  std::array<char, 8192> buffer{};
  for (;;) {
    const ssize_t got = ::read(opened.get(), buffer.data(), buffer.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return unreadable(file, errno);
    if (got == 0) break;
    text.append(buffer.data(), static_cast<std::size_t>(got));
    if (text.size() > largest_file)
      return tl::make_unexpected(file + " is longer than 1 MiB: this is no airlock configuration");
  }
  return parse_config(text, file, defaults);
}

}  // namespace airlock
