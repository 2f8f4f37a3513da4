#include "fusefs/graft/graft.hpp"

#include <linux/mount.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>
#include <cstring>

#include "fusefs/chroot_folder.hpp"

namespace airlock::fusefs {
namespace {

using Result = tl::expected<void, std::string>;

tl::unexpected<std::string> no(std::string sentence) {
  return tl::unexpected<std::string>(std::move(sentence));
}

constexpr const char* taken = "the build has made something of its own at that name";

/// Goes back to our own mount namespace, however the way out is taken. Nothing in this process is
/// right in any other one, so it does not go on when that fails.
class Return {
 public:
  explicit Return(int own_namespace) : own_namespace_(own_namespace) {}
  ~Return() {
    if (::setns(own_namespace_, CLONE_NEWNS) != 0) ::_exit(1);
  }
  Return(const Return&) = delete;
  Return& operator=(const Return&) = delete;

 private:
  int own_namespace_;
};

struct Source {
  FileIdentity identity;
  mode_t mode;
};

/// The store path, if it is one that may be grafted.
tl::expected<Source, std::string> look_at(int store, const StorePath& path) {
  struct statx found {};
  constexpr int flags = AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT;
  constexpr unsigned wanted = STATX_TYPE | STATX_MODE | STATX_INO;
  if (::statx(store, path.base().c_str(), flags, wanted, &found) != 0)
    return no(failure("find the store path"));
  if ((found.stx_attributes & STATX_ATTR_MOUNT_ROOT) != 0)
    return no("something is mounted over the store path");
  const mode_t mode = found.stx_mode;
  // What Nix has registered is read-only; a folder of a build that still runs is not.
  constexpr mode_t any_write = S_IWUSR | S_IWGRP | S_IWOTH;
  if (!S_ISLNK(mode) && (mode & any_write) != 0) {
    return no("the store path is not read-only, so Nix has not registered it");
  }
  if (S_ISDIR(mode) || S_ISREG(mode) || S_ISLNK(mode)) return Source{identity_in(found), mode};
  return no("the store path is no file, folder or symlink");
}

/// What is at the name, also when that is a graft's mount; nothing when there is nothing.
std::optional<FileIdentity> identity_through_mounts(int folder, const StorePath& path) {
  const Fd file = open_beneath(folder, path.base(), O_PATH | O_NOFOLLOW,
                               RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS);
  return file ? identity_of(file.get()) : std::nullopt;
}

Result copy_bytes(int from, int to) {
  std::array<char, 64 * 1024> buffer{};
  for (;;) {
    const auto got = ::read(from, buffer.data(), buffer.size());
    if (got < 0) return no(failure("read the store path"));
    if (got == 0) return {};
    for (ssize_t done = 0; done < got;) {
      const auto written = ::write(to, buffer.data() + done, static_cast<std::size_t>(got - done));
      if (written < 0) return no(failure("write the copy"));
      done += written;
    }
  }
}

bool same_bytes(int one, int other) {
  std::array<char, 64 * 1024> left{};
  std::array<char, 64 * 1024> right{};
  for (off_t at = 0;;) {
    const auto got = ::pread(one, left.data(), left.size(), at);
    if (got < 0 || ::pread(other, right.data(), right.size(), at) != got) return false;
    if (got == 0) return true;
    if (std::memcmp(left.data(), right.data(), static_cast<std::size_t>(got)) != 0) return false;
    at += got;
  }
}

/// Whether a copy that was made before is there. Who made it is no proof alone: where hard links
/// are not protected a builder has made a link to something else of root's, perhaps.
bool is_copied(int source, mode_t mode, int target, const StorePath& path) {
  const Fd copy = open_beneath(target, path.base(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
  struct stat found {};
  return copy && ::fstat(copy.get(), &found) == 0 && found.st_uid == 0 &&
         found.st_mode == (S_IFREG | mode) && same_bytes(source, copy.get());
}

/// A copy under a new name that nobody sees before it is complete.
Result copy_file(int store, int target, const StorePath& path) {
  const Fd source = open_beneath(store, path.base(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
  struct stat attributes {};
  if (!source || ::fstat(source.get(), &attributes) != 0) return no(failure("open the store path"));
  const auto folder = "/proc/self/fd/" + std::to_string(target);
  const Fd copy(::open(folder.c_str(), O_TMPFILE | O_WRONLY | O_CLOEXEC, 0400));
  if (!copy) return no(failure("make a copy"));
  if (auto copied = copy_bytes(source.get(), copy.get()); !copied) return copied;
  const std::array<timespec, 2> times{timespec{1, 0}, timespec{1, 0}};
  const mode_t mode = attributes.st_mode & 0555;
  if (::fchmod(copy.get(), mode) == 0 && ::futimens(copy.get(), times.data()) == 0 &&
      ::linkat(copy.get(), "", target, path.base().c_str(), AT_EMPTY_PATH) == 0) {
    return {};
  }
  if (errno != EEXIST) return no(failure("put the copy into the sandbox"));
  if (is_copied(source.get(), mode, target, path)) return {};
  return no(taken);
}

/// Empty when it is no symlink.
std::string link_text(int folder, const StorePath& path) {
  std::array<char, PATH_MAX> text{};
  const auto size = ::readlinkat(folder, path.base().c_str(), text.data(), text.size() - 1);
  return {text.data(), size < 0 ? 0 : static_cast<std::size_t>(size)};
}

Result copy_symlink(int store, int target, const StorePath& path) {
  const auto text = link_text(store, path);
  if (text.empty()) return no(failure("read the store path"));
  if (::symlinkat(text.c_str(), target, path.base().c_str()) == 0) return {};
  if (errno != EEXIST) return no(failure("put the symlink into the sandbox"));
  struct stat found {};
  const bool copied = ::fstatat(target, path.base().c_str(), &found, AT_SYMLINK_NOFOLLOW) == 0 &&
                      found.st_uid == 0 && link_text(target, path) == text;
  if (copied) return {};
  return no(taken);
}

/// The folder that the graft is mounted on, made by us and by nobody else, perhaps by a helper that
/// was ended before it had mounted anything.
tl::expected<Fd, std::string> make_mount_point(int store, const StorePath& path) {
  const bool made = ::mkdirat(store, path.base().c_str(), 0555) == 0;
  if (!made && errno != EEXIST) return no(failure("make the folder in the sandbox"));
  Fd folder = open_beneath(store, path.base(), O_PATH | O_DIRECTORY | O_NOFOLLOW);
  struct stat attributes {};
  if (!folder || ::fstat(folder.get(), &attributes) != 0) {
    return no(made ? failure("open the new folder") : taken);
  }
  // Nix's store folder is sticky and the folder is root's; had it been replaced all the same, this
  // would be the builder's.
  if (attributes.st_uid != 0) return no(taken);
  return folder;
}

/// A part of a mount of the holder's that can be put elsewhere, read-only. For a thread that is in
/// the holder's namespace.
tl::expected<Fd, std::string> clone_mount(int folder, const std::string& name) {
  constexpr unsigned clone = OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_SYMLINK_NOFOLLOW;
  Fd tree(static_cast<int>(::syscall(SYS_open_tree, folder, name.c_str(), clone)));
  if (!tree) return no(failure("clone the mount of " + name));
  mount_attr attributes{};
  attributes.attr_set = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV;
  if (::syscall(SYS_mount_setattr, tree.get(), "", AT_EMPTY_PATH, &attributes, sizeof attributes) !=
      0) {
    return no(failure("make the clone read-only"));
  }
  return tree;
}

bool move_onto(int tree, int place) {
  constexpr unsigned onto = MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH;
  return ::syscall(SYS_move_mount, tree, "", place, "", onto) == 0;
}

/// From the top, where names lead where the sandbox arranged for them to lead.
Fd walk_in_sandbox(const std::string& path) {
  return open_beneath(AT_FDCWD, path, O_PATH | O_DIRECTORY,
                      RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS);
}

bool is_read_only(int folder) {
  struct statvfs filesystem {};
  return ::fstatvfs(folder, &filesystem) == 0 && (filesystem.f_flag & ST_RDONLY) != 0;
}

}  // namespace

Fd open_store_of_sandbox(int store, const std::string& store_dir, const StorePath& derivation,
                         FileIdentity chroot) {
  const Fd folder = open_chroot_folder(store, derivation, chroot);
  if (!folder) return {};
  return open_beneath(folder.get(), store_dir.substr(1), O_PATH | O_DIRECTORY | O_NOFOLLOW);
}

tl::expected<bool, std::string> link_file(int store, int target, const StorePath& path) {
  const auto source = look_at(store, path);
  if (!source) return no(source.error());
  if (S_ISDIR(source->mode)) return false;
  const auto& base = path.base();
  // Flags 0: of a symlink it is the link itself that gets another name.
  if (::linkat(store, base.c_str(), target, base.c_str(), 0) == 0 || errno == EEXIST) {
    if (identity_at(target, base) == source->identity) return true;
    return no(taken);
  }
  // As Nix does: too many links to one file, or the sandbox is on another filesystem.
  if (errno == EMLINK || errno == EXDEV) return false;
  return no(errno == ENOENT ? sandbox_gone : failure("link the file into the sandbox"));
}

Result Graft::make(const GraftRequest& request) const {
  const auto source = look_at(mounts_.writable_store.get(), request.path);
  if (!source) return no(source.error());
  if (S_ISDIR(source->mode)) return mount(request);
  const int store = mounts_.writable_store.get();
  const auto& path = request.path;
  const Fd target = open_store_of_sandbox(store, store_dir_, request.derivation, request.chroot);
  if (!target) return no(sandbox_gone);
  if (may_link_) {
    const auto linked = link_file(store, target.get(), path);
    if (!linked) return no(linked.error());
    if (*linked) return {};
  }
  return S_ISLNK(source->mode) ? copy_symlink(store, target.get(), path)
                               : copy_file(store, target.get(), path);
}

Result Graft::mount(const GraftRequest& request) const {
  const Return back(mounts_.own_namespace.get());
  const auto& path = request.path;
  const auto& base = path.base();
  if (::setns(mounts_.holder_namespace.get(), CLONE_NEWNS) != 0) {
    return no(failure("enter the holder's mount namespace"));
  }
  const auto tree = clone_mount(mounts_.locked_store.get(), base);
  if (!tree) return no(tree.error());
  const auto source = identity_of(tree->get());
  if (!source) return no(failure("look at the store path"));
  if (::setns(request.first_process, CLONE_NEWNS) != 0) {
    return no(failure("enter the sandbox's mount namespace"));
  }
  const Fd store = walk_in_sandbox(store_dir_);
  if (!store) return no(failure("find the store folder in the sandbox"));
  // An input, or a graft of an earlier airlock-fs: the very folder is there already.
  if (identity_through_mounts(store.get(), path) == source) return {};
  const auto place = make_mount_point(store.get(), path);
  if (!place) return no(place.error());
  if (!move_onto(tree->get(), place->get())) {
    const auto sentence = failure("mount the store path in the sandbox");
    ::unlinkat(store.get(), base.c_str(), AT_REMOVEDIR);
    return no(sentence);
  }
  // Walked again from the top: a mount that nobody sees would be worse than none.
  const Fd seen = walk_in_sandbox(store_dir_ + "/" + base);
  if (!seen || identity_of(seen.get()) != source || !is_read_only(seen.get())) {
    return no("the graft is not visible in the sandbox");
  }
  return {};
}

Result Graft::put_back(const ViewRequest& request) const {
  const Return back(mounts_.own_namespace.get());
  if (::setns(mounts_.holder_namespace.get(), CLONE_NEWNS) != 0) {
    return no(failure("enter the holder's mount namespace"));
  }
  const auto tree = clone_mount(mounts_.locked_view.get(), request.folder);
  if (!tree) return no(tree.error());
  const auto view = identity_of(tree->get());
  if (!view) return no(failure("look at the view"));
  if (::setns(request.first_process, CLONE_NEWNS) != 0) {
    return no(failure("enter the sandbox's mount namespace"));
  }
  const Fd place = walk_in_sandbox(view_target_);
  const auto there = place ? identity_of(place.get()) : std::nullopt;
  if (!there) return no(failure("find " + view_target_ + " in the sandbox"));
  if (*there == *view) return {};
  if (std::find(request.dead.begin(), request.dead.end(), there->device) == request.dead.end()) {
    return no("what is at " + view_target_ + " in the sandbox is no view of an earlier airlock-fs");
  }
  if (!move_onto(tree->get(), place.get())) return no(failure("mount the view in the sandbox"));
  const Fd seen = walk_in_sandbox(view_target_);
  if (!seen || identity_of(seen.get()) != view || !is_read_only(seen.get())) {
    return no("the view is not visible in the sandbox");
  }
  return {};
}

}  // namespace airlock::fusefs
