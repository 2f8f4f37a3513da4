#include <grp.h>
#include <pwd.h>

#include "daemon/config/account.hpp"
#include "daemon/config/config.hpp"

namespace airlock {

tl::expected<Account, std::string> find_account(const std::string& user, const std::string& group) {
  if (auto local = find_local_account(user, group)) return local;
  const passwd* user_entry = ::getpwnam(user.c_str());
  if (user_entry == nullptr)
    return tl::make_unexpected("there is no user '" + user + "': create it, or set 'user' in " +
                               Config::default_file);
  const ::group* group_entry = ::getgrnam(group.c_str());
  if (group_entry == nullptr)
    return tl::make_unexpected("there is no group '" + group + "': create it, or set 'group' in " +
                               Config::default_file);
  return Account{user_entry->pw_uid, group_entry->gr_gid};
}

}  // namespace airlock
