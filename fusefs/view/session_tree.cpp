#include "fusefs/view/session_tree.hpp"

#include <algorithm>
#include <nlohmann/json.hpp>

namespace airlock::fusefs {
namespace {

constexpr const char* airlock_name = "airlock";
constexpr std::size_t max_revealed = 1u << 18;

/// "/nix/var/nix" is "nix" in the folder that is bound at "/nix/var".
std::string last_part(const std::string& path) {
  return path.substr(path.rfind('/') + 1);
}

std::string parent_of(const std::string& path) {
  return path.substr(0, path.rfind('/'));
}

/// What a client in the sandbox is told. Everything else it could set is the mediator's to decide.
constexpr const char* nix_conf =
    "# The settings for Nix inside this build; NIX_CONF_DIR names this folder.\n"
    "# Whatever a build may use comes through the airlock: there are no substituters to ask, no\n"
    "# registry to fetch, and no host keys or users to look up.\n"
    "substituters =\n"
    "flake-registry =\n"
    "build-users-group =\n";

/// What a client says when it would fetch something that is not locked.
constexpr std::string_view no_proxy_is_there =
    "airlock-fetches-only-what-is-locked.add-a-hash-and-lock-it."
    "in-flake.lock-or-npins-or-niv-or-the-attribute-airlockLocks.see-docs-fetching.invalid";

std::string environment_script(const std::string& conf_dir) {
  return "# Source this before running Nix inside the build:  . " + conf_dir +
         "/env\n"
         "export NIX_REMOTE=daemon\n"
         "export NIX_CONF_DIR=" +
         conf_dir +
         "\n"
         "# Nix keeps caches below HOME, which in a build is a folder that cannot be made.\n"
         "# PATH may hold Nix alone, and no mkdir.\n"
         "if ! [ -d \"${HOME:-}\" ] || ! [ -w \"${HOME:-}\" ]; then\n"
         "  HOME=\"${TMPDIR:-/tmp}/airlock-home\"\n"
         "  mkdir -p \"$HOME\" 2>/dev/null || HOME=\"${TMPDIR:-/tmp}\"\n"
         "  XDG_CACHE_HOME=\"$HOME/.cache\"\n"
         "  export HOME XDG_CACHE_HOME\n"
         "fi\n"
         "# What is locked comes through the airlock. For the rest there is no network, and the "
         "name\n"
         "# of a proxy that cannot be is the one thing that Nix, git and curl all tell when they "
         "find\n"
         "# that out. Fixed-output builds, which have a network, are left alone.\n"
         "airlock_network=\n"
         "while read -r airlock_interface _; do\n"
         "  case $airlock_interface in Inter-* | face* | lo:*) ;; *) airlock_network=yes ;; esac\n"
         "done </proc/net/dev\n"
         "if [ -z \"$airlock_network${all_proxy:-}${https_proxy:-}${http_proxy:-}\" ]; then\n"
         "  all_proxy=http://" +
         std::string(no_proxy_is_there) +
         "\n"
         "  no_proxy=localhost,127.0.0.1,::1\n"
         "  export all_proxy no_proxy\n"
         "fi\n"
         "unset airlock_network airlock_interface\n";
}

}  // namespace

SessionTree::SessionTree(StorePath derivation, const ViewLayout& layout)
    : derivation_(std::move(derivation)), layout_(layout) {
  entries_.emplace_back();  // the top
  const auto state_name = last_part(layout.state_dir);
  const auto state = add_folders(top, state_name);
  socket_folder_ = state_name + "/daemon-socket";
  socket_parent_ = add_folders(state, "daemon-socket");
  channels_ = add_folders(state, "profiles/per-user/root/channels");
  add_folders(state, "gcroots");
  add_folders(state, "temproots");
  add_folders(state, "db");
  const auto airlock = add_folders(top, airlock_name);
  add(airlock, Kind::store, "store");
  session_json_ = add(airlock, Kind::file, "session.json");
  nix_conf_ = add(airlock, Kind::file, "nix.conf", nix_conf);
  // The same once more in a folder of its own, which the hook can mount at /etc/nix.
  etc_nix_conf_ = add(add_folders(airlock, "etc"), Kind::file, "nix.conf", nix_conf);
  add(airlock, Kind::file, "env", environment_script(parent_of(layout.state_dir) + "/airlock"));
  const auto programs = add_folders(airlock, "bin");
  add(programs, Kind::guest, std::string(guest_name));
  // It goes by the name that it is called by.
  for (const char* name : {"nix-instantiate", "nix-build"})
    add(programs, Kind::link, name, std::string(guest_name));
  write_session_json({});
}

bool SessionTree::is_at_top(std::string_view name, const ViewLayout& layout) {
  return name == airlock_name || name == last_part(layout.state_dir);
}

std::uint32_t SessionTree::child(std::uint32_t index, std::string_view name) const {
  const auto& children = entry(index).children;
  const auto found = std::lower_bound(children.begin(), children.end(), name,
                                      [&](std::uint32_t left, std::string_view right) {
                                        return std::string_view(entry(left).name) < right;
                                      });
  const bool is_there = found != children.end() && entry(*found).name == name;
  return is_there ? *found : nothing_here;
}

std::uint32_t SessionTree::add_socket() {
  const auto there = child(socket_parent_, socket_name);
  return there != nothing_here ? there
                               : add(socket_parent_, Kind::socket, std::string(socket_name));
}

void SessionTree::set_content(const ViewContent& content) {
  add_channels(content.channels);
  add_settings(content.settings);
  write_session_json(content);
}

void SessionTree::add_channels(const std::vector<Channel>& channels) {
  for (const auto& channel : channels) {
    if (child(channels_, channel.name) != nothing_here)
      continue;  // the first one counts, as in Nix
    add(channels_, Kind::link, channel.name, layout_.store_dir + "/" + channel.target.base());
  }
}

void SessionTree::add_settings(const std::vector<NixSetting>& settings) {
  if (settings.empty()) return;
  std::string text = "# From the derivation's airlockNixConfig.\n";
  for (const auto& setting : settings) text += setting.name + " = " + setting.value + "\n";
  // Its own lines come last: of two that say different things, Nix believes the later one.
  text += nix_conf;
  entries_.at(nix_conf_).text = text;
  entries_.at(etc_nix_conf_).text = std::move(text);
}

bool SessionTree::reveal(const StorePath& path) {
  if (revealed_.size() >= max_revealed && !is_revealed(path.base())) return false;
  revealed_.insert(path.base());
  return true;
}

std::uint32_t SessionTree::add(std::uint32_t parent, Kind kind, std::string name,
                               std::string text) {
  const auto index = static_cast<std::uint32_t>(entries_.size());
  auto& children = entries_.at(parent).children;
  const auto place = std::lower_bound(
      children.begin(), children.end(), name,
      [&](std::uint32_t left, const std::string& right) { return entries_[left].name < right; });
  children.insert(place, index);
  entries_.push_back(Entry{kind, std::move(name), parent, std::move(text), {}});
  return index;
}

std::uint32_t SessionTree::add_folders(std::uint32_t parent, std::string_view path) {
  while (!path.empty()) {
    const auto end = std::min(path.find('/'), path.size());
    const auto name = path.substr(0, end);
    const auto there = child(parent, name);
    parent = there != nothing_here ? there : add(parent, Kind::folder, std::string(name));
    path.remove_prefix(std::min(end + 1, path.size()));
  }
  return parent;
}

void SessionTree::write_session_json(const ViewContent& content) {
  // Ordered: the text is compared byte by byte between hosts.
  nlohmann::ordered_json document;
  document["derivation"] = layout_.store_dir + "/" + derivation_.base();
  document["nixPath"] = nlohmann::ordered_json::array();
  for (const auto& channel : content.channels) {
    document["nixPath"].push_back(channel.name + "=" + layout_.store_dir + "/" +
                                  channel.target.base());
  }
  document["nixConfig"] = nlohmann::ordered_json::object();
  for (const auto& setting : content.settings) document["nixConfig"][setting.name] = setting.value;
  entries_.at(session_json_).text =
      document.dump(2, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
}

}  // namespace airlock::fusefs
