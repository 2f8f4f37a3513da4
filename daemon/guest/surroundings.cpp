#include "daemon/guest/surroundings.hpp"

#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string_view>

#include "daemon/guest/attributes.hpp"
#include "daemon/guest/closed.hpp"
#include "daemon/guest/settings.hpp"

namespace airlock::guest {
namespace {

using Json = nlohmann::json;

std::string variable(const char* key) {
  const char* value = std::getenv(key);
  return value == nullptr ? std::string() : value;
}

/// Something is there, or it cannot be told.
bool may_be_there(const std::string& file) {
  struct stat status {};
  return ::lstat(file.c_str(), &status) == 0 || (errno != ENOENT && errno != ENOTDIR);
}

bool has_any(const std::string& folder, std::initializer_list<const char*> files) {
  for (const char* file : files)
    if (may_be_there(folder + "/" + file)) return true;
  return false;
}

/// Where Nix and nixpkgs look for a user's configuration and channels. A HOME that is somebody
/// else's is not the one that Nix uses.
bool home_is_bare() {
  const auto home = variable("HOME");
  struct stat status {};
  if (!home.starts_with('/')) return false;
  if (::stat(home.c_str(), &status) == 0 ? status.st_uid != ::geteuid() : errno != ENOENT)
    return false;
  return !has_any(home, {".config/nix/nix.conf", ".config/nixpkgs", ".nixpkgs",
                         ".nix-defexpr/channels", ".local/state/nix/defexpr/channels"});
}

bool no_user_configuration() {
  if (!variable("NIX_USER_CONF_FILES").empty() || !home_is_bare()) return false;
  if (const auto folder = variable("XDG_STATE_HOME");
      !folder.empty() && has_any(folder, {"nix/defexpr/channels"}))
    return false;
  const auto more = variable("XDG_CONFIG_DIRS");
  std::istringstream folders(variable("XDG_CONFIG_HOME") + ":" +
                             (more.empty() ? "/etc/xdg" : more));
  for (std::string folder; std::getline(folders, folder, ':');)
    if (!folder.empty() && has_any(folder, {"nix/nix.conf"})) return false;
  return true;
}

/// Nix reads the view's nix.conf and asks the view's daemon, as an evaluation by itself would.
bool asks_the_view(const StoreLayout& layout) {
  if (variable("NIX_CONF_DIR") != view_of(layout) + "/airlock") return false;
  for (const char* changed : {"NIX_DATA_DIR", "NIX_ALLOW_EVAL", "NIX_ABORT_ON_WARN"})
    if (!variable(changed).empty()) return false;
  const auto remote = variable("NIX_REMOTE");
  return remote.empty() || remote == "daemon" || remote == "auto";
}

class Surrounding {
 public:
  explicit Surrounding(const StoreLayout& layout) : layout_(layout) {}

  std::optional<Surroundings> close() {
    const bool closed =
        asks_the_view(layout_) && no_user_configuration() && variables() && view() && fetching();
    if (!closed) return std::nullopt;
    return std::move(found_);
  }

 private:
  bool variables() {
    for (char** entry = environ; *entry != nullptr; ++entry) {
      const std::string_view text = *entry;
      const auto key = std::string(text.substr(0, text.find('=')));
      const auto value = variable(key.c_str());
      if (value.empty()) continue;
      if (key == "NIX_CONFIG" && !name_no_file(value)) return false;
      if (key.starts_with("NIXPKGS_") && !nixpkgs_variable(value)) return false;
      if (key == "NIX_CONFIG" || key.starts_with("NIXPKGS_")) found_.environment[key] = value;
    }
    return true;
  }

  bool nixpkgs_variable(const std::string& value) {
    const auto paths = closed_string(layout_, value);
    if (paths) found_.inputs.insert(paths->begin(), paths->end());
    return paths.has_value();
  }

  bool view() {
    std::ifstream stream(view_of(layout_) + "/airlock/session.json");
    const auto document = Json::parse(stream, nullptr, false);
    if (!document.is_object()) return false;
    const auto search_path = document.value("nixPath", Json::array());
    const auto settings = document.value("nixConfig", Json::object());
    for (const auto& entry : search_path) {
      if (!entry.is_string()) return false;
      found_.channels.push_back(entry.get<std::string>());
    }
    std::string lines;
    for (const auto& [name, value] : settings.items()) {
      if (!value.is_string() || !names_no_file(name)) return false;
      lines += name + " = " + value.get<std::string>() + "\n";
    }
    if (!lines.empty()) found_.environment["airlockNixConfig"] = lines;
    return true;
  }

  /// What the build may fetch, an evaluation of its own may fetch too, and no more.
  bool fetching() {
    const auto attributes = Attributes::of_this_build();
    if (!attributes) return false;
    if (const auto policy = attributes->text("airlockFixedOutput"))
      found_.environment["airlockFixedOutput"] = *policy;
    std::string names;
    for (const auto& name : attributes->list("airlockLocks").value_or(std::vector<std::string>())) {
      const auto path = store_path_of(layout_, name);
      if (!path) return false;
      found_.inputs.insert(*path);
      names += (names.empty() ? "" : " ") + name;
    }
    if (!names.empty()) found_.environment["airlockLocks"] = names;
    return true;
  }

  const StoreLayout& layout_;
  Surroundings found_;
};

}  // namespace

std::string view_of(const StoreLayout& layout) {
  return layout.state_dir.substr(0, layout.state_dir.rfind('/'));
}

std::optional<Surroundings> closed_surroundings(const StoreLayout& layout) {
  return Surrounding(layout).close();
}

}  // namespace airlock::guest
