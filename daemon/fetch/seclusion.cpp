#include "daemon/fetch/seclusion.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <map>

#include "fusefs/boundary/fd.hpp"

namespace airlock::fetch {

namespace {

tl::unexpected<std::string> failed(const std::string& what) {
  return tl::unexpected(fmt::format("cannot {}: {}", what, std::strerror(errno)));
}

bool is_folder(const std::string& path) {
  struct stat status {};
  return ::stat(path.c_str(), &status) == 0 && S_ISDIR(status.st_mode);
}

Done cover(const std::string& folder) {
  if (!is_folder(folder)) return {};
  if (::mount("airlock-nothing", folder.c_str(), "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC,
              "mode=755,size=1m") != 0)
    return failed("hide " + folder);
  return {};
}

Done seal(const std::string& folder) {
  if (!is_folder(folder)) return {};
  if (::mount(nullptr, folder.c_str(), nullptr,
              MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC, nullptr) != 0)
    return failed("close " + folder);
  return {};
}

Done make_folders(const std::string& path) {
  for (auto slash = path.find('/', 1);; slash = path.find('/', slash + 1)) {
    if (::mkdir(path.substr(0, slash).c_str(), 0755) != 0 && errno != EEXIST)
      return failed("make " + path);
    if (slash == std::string::npos) return {};
  }
}

/// /etc/resolv.conf is often a link to one of these.
constexpr std::array<const char*, 3> for_name_lookups{"/systemd/resolve", "/NetworkManager",
                                                      "/resolvconf"};

Done hide_run(const std::string& run) {
  std::map<std::string, Fd> kept;
  for (const auto* below : for_name_lookups)
    if (is_folder(run + below))
      kept.emplace(run + below,
                   Fd(::open((run + below).c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC)));
  if (auto done = cover(run); !done) return done;
  for (const auto& [folder, from] : kept) {
    if (auto done = make_folders(folder); !done) return done;
    const auto source = fmt::format("/proc/self/fd/{}", from.get());
    if (::mount(source.c_str(), folder.c_str(), nullptr, MS_BIND, nullptr) != 0)
      return failed("keep " + folder);
  }
  return seal(run);
}

}  // namespace

Done seclude(const Config& config) {
  if (::unshare(CLONE_NEWNS) != 0) return failed("make a mount namespace");
  if (::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0)
    return failed("make the mounts private");
  const auto ledger = config.ledger.substr(0, config.ledger.rfind('/'));
  for (const auto& folder : {config.layout.state_dir, ledger}) {
    auto done = cover(folder);
    if (done) done = seal(folder);
    if (!done) return done;
  }
  return hide_run(config.sockets.run);
}

}  // namespace airlock::fetch
