#include "daemon/mediator/build_users.hpp"

#include <grp.h>

#include <cerrno>
#include <set>
#include <vector>

#include "daemon/config/nix_settings.hpp"

namespace airlock {

namespace {

constexpr std::size_t largest_entry = 16 << 20;

std::optional<std::size_t> count_members(const std::string& name) {
  std::vector<char> buffer(4096);
  ::group entry{};
  ::group* found = nullptr;
  for (;;) {
    const int error = ::getgrnam_r(name.c_str(), &entry, buffer.data(), buffer.size(), &found);
    if (error == ERANGE && buffer.size() < largest_entry)
      buffer.resize(2 * buffer.size());
    else if (error != EINTR)
      break;
  }
  if (found == nullptr) return std::nullopt;
  std::set<std::string> members;
  for (char** member = found->gr_mem; *member != nullptr; ++member) members.emplace(*member);
  if (members.empty()) return std::nullopt;
  return members.size();
}

}  // namespace

std::optional<BuildUsers> find_build_users(const StoreLayout& layout) {
  NixSettings settings;
  if (!settings.apply_file(layout.conf_dir + "/nix.conf")) return std::nullopt;
  if (settings.words("auto-allocate-uids") == std::vector<std::string>{"true"}) return std::nullopt;
  const auto group = settings.words("build-users-group");
  BuildUsers users{group.empty() ? "nixbld" : group.front(), 0};
  const auto count = count_members(users.group);
  if (!count) return std::nullopt;
  users.count = *count;
  return users;
}

}  // namespace airlock
