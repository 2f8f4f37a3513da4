#pragma once

#include <sys/types.h>

#include <string>
#include <tl/expected.hpp>

namespace airlock {

/// The user and group that code runs as once it has no need of root.
struct Account {
  uid_t uid = 0;
  gid_t gid = 0;
};

/// Reads /etc/passwd and /etc/group directly, without the name service: no library is loaded, no
/// socket is asked, so a hook that runs before every build can afford it and may be a static
/// program (fgetpwent would do two system calls a line). An account that lives elsewhere (LDAP, a
/// dynamic user) is not found here. The error is one sentence.
[[nodiscard]] tl::expected<Account, std::string> find_local_account(const std::string& user,
                                                                    const std::string& group);

/// Asks the files first and then the name service. Not thread-safe. The error is one sentence.
[[nodiscard]] tl::expected<Account, std::string> find_account(const std::string& user,
                                                              const std::string& group);

/// Gives up root for good: supplementary groups, all user and group ids, all capabilities
/// (inheritable and ambient too), the right to gain any by exec. Then checks that this is so.
///
/// For a single-threaded process, normally a child forked for the purpose. When it was not root to
/// begin with and already is the account, only no_new_privs is set. The error is one sentence; the
/// process must then not go on.
[[nodiscard]] tl::expected<void, std::string> become(const Account& account);

}  // namespace airlock
