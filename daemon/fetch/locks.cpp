#include "daemon/fetch/locks.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <optional>

#include "daemon/core/quote.hpp"

namespace airlock::fetch {

namespace {

using Json = nlohmann::json;

/// A string member; empty where there is none or it is something else.
std::string text_of(const Json& object, const char* name) {
  const auto member = object.is_object() ? object.find(name) : object.end();
  return member != object.end() && member->is_string() ? member->get<std::string>() : std::string();
}

bool is_true(const Json& object, const char* name) {
  const auto member = object.find(name);
  return member != object.end() && member->is_boolean() && member->get<bool>();
}

/// For parts that are put into a URL: a host with a port, an owner, a repository.
bool is_plain(std::string_view text, std::string_view besides) {
  return !text.empty() && text.front() != '-' && text.find("..") == std::string_view::npos &&
         std::all_of(text.begin(), text.end(), [&](char c) {
           return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                  besides.find(c) != std::string_view::npos;
         });
}

/// As Nix takes it from a URL, its query included.
std::string last_part(std::string_view url) {
  while (url.ends_with('/')) url.remove_suffix(1);
  return std::string(url.substr(url.rfind('/') + 1));
}

/// A SHA-256 in any of the forms that Nix takes; without its algorithm too.
tl::expected<Hash, std::string> sha256_of(const std::string& text) {
  auto hash = Hash::parse(text);
  if (!hash) hash = Hash::parse(HashAlgorithm::sha256, text);
  // Locks are found that lack the "=" at the end.
  if (!hash && text.starts_with("sha256-") && !text.ends_with('=')) hash = Hash::parse(text + "=");
  if (!hash || hash->algorithm != HashAlgorithm::sha256)
    return tl::unexpected(fmt::format("the hash {} is no SHA-256", quote(text)));
  return hash;
}

tl::expected<Lock, std::string> make_lock(const StoreLayout& layout, Origin origin,
                                          IngestionMethod method, const std::string& name,
                                          const std::string& hash_text) {
  if (!is_canonical(origin))
    return tl::unexpected(
        fmt::format("{} is not the URL of something that can be fetched: use https://, or "
                    "git+https:// with ?rev=",
                    quote(origin.url)));
  auto hash = sha256_of(hash_text);
  if (!hash) return tl::unexpected(hash.error());
  ContentAddress address{method, *std::move(hash)};
  auto path = path_of(layout, name, address, {});
  if (!path) return tl::unexpected(path.error());
  // A derivation is read before it is believed (policy::add_derivation); nothing fetched is one.
  if (path->is_derivation())
    return tl::unexpected(fmt::format("'{}' is the name of a derivation", name));
  return Lock{*std::move(path), std::move(address), std::move(origin)};
}

/// Takes "git+" off, and the revision out of the query.
Origin git_origin(std::string url, std::string rev) {
  if (url.starts_with("git+")) url.erase(0, 4);
  if (const auto query = url.find('?'); query != std::string::npos) {
    auto rest = std::string_view(url).substr(query + 1);
    while (!rest.empty()) {
      const auto part = rest.substr(0, rest.find('&'));
      rest.remove_prefix(std::min(part.size() + 1, rest.size()));
      if (part.starts_with("rev=") && rev.empty()) rev = part.substr(4);
    }
    url.erase(query);
  }
  return {Kind::git, std::move(url), std::move(rev)};
}

/// Where the archive of a revision is, on the three kinds of forges that flakes know.
std::optional<std::string> forge_url(const std::string& type, const Json& locked) {
  auto host = text_of(locked, "host");
  auto owner = text_of(locked, "owner");
  const auto repo = text_of(locked, "repo");
  const auto rev = text_of(locked, "rev");
  if (host.empty())
    host = type == "github" ? "github.com" : type == "gitlab" ? "gitlab.com" : "git.sr.ht";
  if (!is_plain(host, ".-:") || !is_plain(owner, "._-~/%") || !is_plain(repo, "._-") ||
      !is_plain(rev, ""))
    return std::nullopt;
  if (type == "sourcehut")
    return fmt::format("https://{}/{}/{}/archive/{}.tar.gz", host, owner, repo, rev);
  if (type == "gitlab") {
    for (auto slash = owner.find('/'); slash != std::string::npos; slash = owner.find('/'))
      owner.replace(slash, 1, "%2F");
    return fmt::format("https://{}/api/v4/projects/{}%2F{}/repository/archive.tar.gz?sha={}", host,
                       owner, repo, rev);
  }
  if (host == "github.com")
    return fmt::format("https://{}/{}/{}/archive/{}.tar.gz", host, owner, repo, rev);
  return fmt::format("https://{}/api/v3/repos/{}/{}/tarball/{}", host, owner, repo, rev);
}

std::optional<Origin> flake_origin(const Json& locked) {
  const auto type = text_of(locked, "type");
  if (type == "github" || type == "gitlab" || type == "sourcehut") {
    auto url = forge_url(type, locked);
    if (!url) return std::nullopt;
    return Origin{Kind::tarball, *std::move(url), {}};
  }
  if (type == "tarball") return Origin{Kind::tarball, text_of(locked, "url"), {}};
  if (type == "file") return Origin{Kind::file, text_of(locked, "url"), {}};
  if (type == "path") return Origin{Kind::folder, "path:" + text_of(locked, "path"), {}};
  // Modules and large files are other repositories' content, which the revision does not hold.
  if (type == "git" && !is_true(locked, "submodules") && !is_true(locked, "lfs"))
    return git_origin(text_of(locked, "url"), text_of(locked, "rev"));
  return std::nullopt;
}

void keep(std::vector<Lock>& locks, tl::expected<Lock, std::string> lock) {
  if (lock) locks.push_back(*std::move(lock));
}

std::vector<Lock> flake_locks(const StoreLayout& layout, const Json& nodes) {
  std::vector<Lock> locks;
  for (const auto& node : nodes) {
    if (!node.is_object() || !node.contains("locked")) continue;
    const auto& locked = node["locked"];
    if (!locked.is_object()) continue;
    if (auto origin = flake_origin(locked))
      keep(locks, make_lock(layout, *std::move(origin), IngestionMethod::recursive, "source",
                            text_of(locked, "narHash")));
  }
  return locks;
}

std::vector<Lock> npins_locks(const StoreLayout& layout, const Json& pins) {
  std::vector<Lock> locks;
  for (const auto& pin : pins) {
    if (!pin.is_object() || is_true(pin, "submodules")) continue;
    const auto file = text_of(pin, "type") == "PyPi";
    auto url = text_of(pin, "locked_url");
    if (url.empty()) url = text_of(pin, "url");
    const auto name = file ? last_part(url) : "source";
    keep(locks, make_lock(layout, {file ? Kind::file : Kind::tarball, std::move(url), {}},
                          file ? IngestionMethod::flat : IngestionMethod::recursive, name,
                          text_of(pin, "hash")));
  }
  return locks;
}

/// As niv's own sources.nix makes names: no dots in front, one dash for what may not stand there.
std::string niv_name(std::string_view name) {
  name.remove_prefix(std::min(name.find_first_not_of('.'), name.size()));
  std::string sane;
  for (const char c : name) {
    if (is_plain({&c, 1}, "+._?=") || c == '-')
      sane += c;
    else if (!sane.ends_with('\0'))
      sane += '\0';
  }
  std::replace(sane.begin(), sane.end(), '\0', '-');
  return sane + "-src";
}

std::vector<Lock> niv_locks(const StoreLayout& layout, const Json& sources) {
  std::vector<Lock> locks;
  for (const auto& [name, spec] : sources.items()) {
    if (!spec.is_object()) continue;
    const auto type = text_of(spec, "type");
    if (!type.empty() && type != "tarball" && type != "file") continue;
    const auto file = type == "file";
    keep(locks, make_lock(layout, {file ? Kind::file : Kind::tarball, text_of(spec, "url"), {}},
                          file ? IngestionMethod::flat : IngestionMethod::recursive, niv_name(name),
                          text_of(spec, "sha256")));
  }
  return locks;
}

tl::expected<Lock, std::string> own_lock(const StoreLayout& layout, const Json& entry) {
  constexpr const char* shape = "is not of the form {\"url\": …, \"hash\": …}";
  if (!entry.is_object()) return tl::unexpected(std::string(shape));
  for (const auto& [key, value] : entry.items()) {
    const bool known = key == "url" || key == "hash" || key == "name" || key == "unpack";
    if (!known) return tl::unexpected(fmt::format("has the unknown key {}", quote(key)));
    if (key == "unpack" ? !value.is_boolean() : !value.is_string())
      return tl::unexpected(fmt::format("has a '{}' of the wrong type", key));
  }
  const auto url = text_of(entry, "url");
  const auto git = url.starts_with("git+");
  const auto tree = git || is_true(entry, "unpack");
  auto origin = git ? git_origin(url, {}) : Origin{tree ? Kind::tarball : Kind::file, url, {}};
  auto name = text_of(entry, "name");
  if (name.empty()) name = tree ? "source" : last_part(url);
  return make_lock(layout, std::move(origin),
                   tree ? IngestionMethod::recursive : IngestionMethod::flat, name,
                   text_of(entry, "hash"));
}

tl::expected<std::vector<Lock>, std::string> own_locks(const StoreLayout& layout,
                                                       const Json& entries) {
  std::vector<Lock> locks;
  for (const auto& entry : entries) {
    auto lock = own_lock(layout, entry);
    if (!lock) return tl::unexpected(fmt::format("entry {}: {}", locks.size() + 1, lock.error()));
    locks.push_back(*std::move(lock));
  }
  return locks;
}

tl::expected<std::vector<Lock>, std::string> locks_in(const StoreLayout& layout, const Json& json) {
  if (json.is_array()) return own_locks(layout, json);
  if (!json.is_object())
    return tl::unexpected(
        std::string("it is neither a list nor an object: use a lock file of "
                    "flakes, npins or niv, or a list of {\"url\", \"hash\"}"));
  if (const auto nodes = json.find("nodes"); nodes != json.end() && nodes->is_object()) {
    const auto version = json.find("version");
    if (version == json.end() || !version->is_number_integer() || version->get<std::int64_t>() != 7)
      return tl::unexpected(
          std::string("it is a flake.lock of a version other than 7: write it anew with `nix "
                      "flake lock`"));
    return flake_locks(layout, *nodes);
  }
  if (const auto pins = json.find("pins"); pins != json.end() && pins->is_object())
    return npins_locks(layout, *pins);
  return niv_locks(layout, json);
}

}  // namespace

tl::expected<std::vector<Lock>, std::string> parse_locks(const StoreLayout& layout,
                                                         std::string_view text,
                                                         const std::string& file) {
  if (text.size() > largest_lock_file)
    return tl::unexpected(
        fmt::format("{}: a lock file is at most {} bytes long", file, largest_lock_file));
  const auto json = Json::parse(text, nullptr, false);
  if (json.is_discarded())
    return tl::unexpected(
        fmt::format("{}: this is no lock file, as it is not JSON: correct it or remove it", file));
  auto locks = locks_in(layout, json);
  if (!locks) return tl::unexpected(fmt::format("{}: {}", file, locks.error()));
  if (locks->size() > most_locks)
    return tl::unexpected(fmt::format("{}: a lock file holds at most {} locks", file, most_locks));
  return locks;
}

}  // namespace airlock::fetch
