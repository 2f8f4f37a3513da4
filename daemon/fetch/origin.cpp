// What a URL in a lock file may look like.
#include <algorithm>
#include <array>

#include "daemon/fetch/locks.hpp"

namespace airlock::fetch {

namespace {

constexpr std::size_t longest_url = 4096;

bool is_hex(char c) {
  return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
}

/// Neither blanks nor control characters, and nothing that a URL may not hold bare.
bool is_url_character(char c) {
  constexpr std::string_view never = "\"<>\\^`{}|";
  return c > 0x20 && c < 0x7f && never.find(c) == std::string_view::npos;
}

/// A host, and perhaps a port; no user and password, which would end up in the ledger.
bool has_plain_authority(std::string_view rest) {
  const auto authority = rest.substr(0, rest.find_first_of("/?#"));
  return !authority.empty() && authority.front() != '-' &&
         authority.find('@') == std::string_view::npos;
}

}  // namespace

std::string_view Origin::scheme() const {
  return std::string_view(url).substr(0, url.find(':'));
}

std::string Origin::print() const {
  return kind == Kind::git ? "git+" + url + "?rev=" + rev : url;
}

bool is_canonical(const Origin& origin) {
  const auto& url = origin.url;
  if (url.size() > longest_url || !std::all_of(url.begin(), url.end(), is_url_character))
    return false;
  if (origin.kind == Kind::git) {
    if (origin.rev.size() != 40 && origin.rev.size() != 64) return false;
    if (!std::all_of(origin.rev.begin(), origin.rev.end(), is_hex)) return false;
  } else if (!origin.rev.empty()) {
    return false;
  }
  if (origin.kind == Kind::folder) return url.starts_with("path:/");
  for (const std::string_view web : {"https://", "http://"})
    if (url.starts_with(web)) return has_plain_authority(std::string_view(url).substr(web.size()));
  return url.starts_with("file:///");
}

}  // namespace airlock::fetch
