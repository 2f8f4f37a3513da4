#include "daemon/config/account.hpp"

#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <optional>

#include "fusefs/boundary/fd.hpp"

namespace airlock {

namespace {

tl::unexpected<std::string> failed(const std::string& what) {
  return tl::make_unexpected("cannot " + what + ": " + std::strerror(errno));
}

/// Whether every capability set of this thread is empty. The sets that an exec would fill from are
/// empty too, as permitted and inheritable bound the ambient set.
bool has_no_capabilities() {
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  std::array<__user_cap_data_struct, 2> sets{};
  if (::syscall(SYS_capget, &header, sets.data()) != 0) return false;
  for (const auto& set : sets)
    if (set.effective != 0 || set.permitted != 0 || set.inheritable != 0) return false;
  return true;
}

bool drop_capabilities() {
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  const std::array<__user_cap_data_struct, 2> none{};
  return ::syscall(SYS_capset, &header, none.data()) == 0;
}

/// The third field of the line that starts with `name` in a file like /etc/passwd or /etc/group.
std::optional<id_t> id_in(const char* file, const std::string& name) {
  const Fd opened{::open(file, O_RDONLY | O_CLOEXEC)};
  std::string text = "\n";
  std::array<char, 8192> buffer{};
  ssize_t got = 0;
  while (opened && (got = ::read(opened.get(), buffer.data(), buffer.size())) > 0)
    text.append(buffer.data(), static_cast<std::size_t>(got));
  const auto line = text.find("\n" + name + ":");
  if (line == std::string::npos) return std::nullopt;
  const auto password = line + 1 + name.size() + 1;
  const auto begin = text.find_first_of(":\n", password);
  if (begin == std::string::npos || text[begin] != ':') return std::nullopt;
  id_t id = 0;
  const char* first = text.data() + begin + 1;
  const auto [end, error] = std::from_chars(first, text.data() + text.size(), id);
  if (error != std::errc{} || end == text.data() + text.size() || *end != ':') return std::nullopt;
  return id;
}

bool is_exactly(const Account& account) {
  uid_t real_user = 0;
  uid_t effective_user = 0;
  uid_t saved_user = 0;
  gid_t real_group = 0;
  gid_t effective_group = 0;
  gid_t saved_group = 0;
  return ::getresuid(&real_user, &effective_user, &saved_user) == 0 &&
         ::getresgid(&real_group, &effective_group, &saved_group) == 0 &&
         real_user == account.uid && effective_user == account.uid && saved_user == account.uid &&
         real_group == account.gid && effective_group == account.gid && saved_group == account.gid;
}

/// Whoever starts a service as its user (systemd, setpriv) lists that user's own group too.
bool has_no_other_groups(const Account& account) {
  std::array<gid_t, 2> groups{};
  const int count = ::getgroups(groups.size(), groups.data());
  return count == 0 || (count == 1 && groups[0] == account.gid);
}

}  // namespace

tl::expected<Account, std::string> find_local_account(const std::string& user,
                                                      const std::string& group) {
  const auto uid = id_in("/etc/passwd", user);
  if (!uid) return tl::make_unexpected("there is no user '" + user + "' in /etc/passwd: create it");
  const auto gid = id_in("/etc/group", group);
  if (!gid)
    return tl::make_unexpected("there is no group '" + group + "' in /etc/group: create it");
  return Account{*uid, *gid};
}

tl::expected<void, std::string> become(const Account& account) {
  if (account.uid == 0 || account.gid == 0)
    return tl::make_unexpected("the user and group that airlock runs as must not be root's");
  if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return failed("set no_new_privs");
  if (::geteuid() == 0) {
    if (::setgroups(0, nullptr) != 0) return failed("drop the supplementary groups");
    if (::setresgid(account.gid, account.gid, account.gid) != 0) return failed("change the group");
    if (::setresuid(account.uid, account.uid, account.uid) != 0) return failed("change the user");
  }
  // With SECBIT_KEEP_CAPS or SECBIT_NO_SETUID_FIXUP inherited, a change of user keeps them.
  if (!drop_capabilities()) return failed("drop the capabilities");
  // No core file of a hook, and no debugger of the same user's: memory held root's data before.
  if (::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0) return failed("clear the dumpable flag");

  if (!is_exactly(account) || !has_no_capabilities() || !has_no_other_groups(account) ||
      ::setuid(0) == 0)
    return tl::make_unexpected("gave up root and still has some of it: not going on");
  return {};
}

}  // namespace airlock
