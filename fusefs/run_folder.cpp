#include "fusefs/run_folder.hpp"

#include <pwd.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <stdexcept>

#include "fusefs/kernel.hpp"
#include "fusefs/view/mount.hpp"

namespace airlock::fusefs {
namespace {

void require(bool ok, const std::string& what) {
  if (!ok) throw std::runtime_error(failure(what));
}

/// Made, or taken over with the owner and mode it must have.
void make_folder(const std::string& path, mode_t mode, uid_t uid, gid_t gid) {
  require(::mkdir(path.c_str(), mode) == 0 || errno == EEXIST, "make the folder " + path);
  const Fd folder(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  require(folder.is_open(), "open the folder " + path);
  require(::fchown(folder.get(), uid, gid) == 0 && ::fchmod(folder.get(), mode) == 0,
          "set the owner and mode of " + path);
}

Fd bind_at(const std::string& path, mode_t mode, uid_t uid, gid_t gid) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) {
    throw std::runtime_error("the socket's name " + path + " is too long: use a shorter --run");
  }
  std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
  Fd socket(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  require(socket.is_open(), "make a socket");
  ::unlink(path.c_str());
  require(::bind(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0,
          "bind " + path);
  require(::chown(path.c_str(), uid, gid) == 0 && ::chmod(path.c_str(), mode) == 0,
          "set the owner and mode of " + path);
  return socket;
}

}  // namespace

User find_user(const std::string& name) {
  const passwd* entry = ::getpwnam(name.c_str());
  if (entry == nullptr) {
    throw std::runtime_error("there is no user " + name +
                             ": make one for airlockd (useradd --system " + name +
                             "), or name another with --user");
  }
  return {entry->pw_uid, entry->pw_gid};
}

RunFolder::RunFolder(boundary::SocketPaths paths, User mediator)
    : paths_(std::move(paths)), mediator_(mediator) {
  make_folder(paths_.private_folder(), 0700, 0, 0);
  const auto lock = paths_.private_folder() + "/lock";
  lock_ = Fd(::open(lock.c_str(), O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600));
  require(lock_.is_open(), "open " + lock);
  if (::flock(lock_.get(), LOCK_EX | LOCK_NB) != 0) {
    throw std::runtime_error("another airlock-fs is running at " + paths_.private_folder());
  }
  unmount_leftovers(paths_.mount_point());
  make_folder(paths_.mount_point(), 0700, 0, 0);
  make_folder(paths_.mediator_folder(), 0750, 0, mediator_.gid);
}

RunFolder::~RunFolder() {
  // The lock's file stays: were it removed, two could hold a lock of that name.
  ::unlink(paths_.announce().c_str());
  ::unlink(paths_.mediator().c_str());
  ::rmdir(paths_.mediator_folder().c_str());
  ::rmdir(paths_.mount_point().c_str());
  ::rmdir((paths_.private_folder() + "/sessions").c_str());
}

Fd RunFolder::listen_for_hooks() const {
  constexpr int backlog = 128;
  Fd socket = bind_at(paths_.announce(), 0600, 0, 0);
  require(::listen(socket.get(), backlog) == 0, "listen at " + paths_.announce());
  return socket;
}

Fd RunFolder::bind_for_mediator() const {
  return bind_at(paths_.mediator(), 0660, 0, mediator_.gid);
}

void make_roots_folder(const std::string& state_dir, User owner) {
  const auto roots = state_dir + "/gcroots";
  // Nix makes this one, but perhaps not yet.
  require(::mkdir(roots.c_str(), 0755) == 0 || errno == EEXIST, "make the folder " + roots);
  const Fd folder(::open(roots.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  require(folder.is_open(), "open " + roots);
  require(::mkdirat(folder.get(), "airlock", 0755) == 0 || errno == EEXIST,
          "make the folder " + roots + "/airlock");
  const Fd made(::openat(folder.get(), "airlock", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  require(made.is_open(), "open " + roots + "/airlock");
  require(::fchown(made.get(), owner.uid, owner.gid) == 0 && ::fchmod(made.get(), 0755) == 0,
          "set the owner of " + roots + "/airlock");
}

}  // namespace airlock::fusefs
