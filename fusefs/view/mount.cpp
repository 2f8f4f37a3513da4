#include "fusefs/view/mount.hpp"

#include <linux/mount.h>
#include <pthread.h>
#include <spdlog/spdlog.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <csignal>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <stdexcept>

#include "fusefs/kernel.hpp"
#include "fusefs/privileges.hpp"

namespace airlock::fusefs {
namespace {

constexpr int thread_count = 4;
/// Only has to interrupt read(2) on /dev/fuse, which nothing else ends.
constexpr int wake_signal = SIGUSR1;

/// What libfuse has said last, which would be a line of its own.
std::string& said_by_libfuse() {
  static std::string text;
  return text;
}

void keep_what_is_said(fuse_log_level, const char* format, va_list arguments) {
  std::array<char, 256> text{};
  std::vsnprintf(text.data(), text.size(), format, arguments);
  said_by_libfuse() = text.data();
  while (said_by_libfuse().ends_with('\n')) said_by_libfuse().pop_back();
}

void mount_or_throw(fuse_session* session, const std::string& mount_point) {
  ::fuse_set_log_func(keep_what_is_said);
  const bool mounted = fuse_session_mount(session, mount_point.c_str()) == 0;
  ::fuse_set_log_func(nullptr);
  if (mounted) return;
  const auto& said = said_by_libfuse();
  throw std::runtime_error("cannot mount a FUSE filesystem at " + mount_point +
                           "; is /dev/fuse there, and is this root?" +
                           (said.empty() ? "" : " (" + said + ")"));
}

void install_wake_signal() {
  struct sigaction action {};
  action.sa_handler = [](int) {};
  ::sigaction(wake_signal, &action, nullptr);
}

/// A clone of the mount that nobody else can reach, to bind sockets through. The mount itself is
/// read-only from its first moment, and so is whatever Nix binds from it, also while the superblock
/// is not: it has gone by then to other mount namespaces, where it could not be changed any more.
Fd make_writable_clone(const std::string& mount_point) {
  Fd clone(static_cast<int>(::syscall(SYS_open_tree, AT_FDCWD, mount_point.c_str(),
                                      OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC)));
  mount_attr attributes{};
  attributes.attr_set = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV;
  attributes.attr_clr = MOUNT_ATTR_RDONLY;
  if (!clone || ::syscall(SYS_mount_setattr, clone.get(), "", AT_EMPTY_PATH, &attributes,
                          sizeof attributes) != 0) {
    throw std::runtime_error(failure("make a writable clone of the mount at " + mount_point));
  }
  return clone;
}

std::optional<FileIdentity> identity_of_folder(const std::string& path) {
  const Fd folder(::open(path.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  return folder ? identity_of(folder.get()) : std::nullopt;
}

}  // namespace

Mount::Mount(View view, std::string mount_point)
    : view_(view), mount_point_(std::move(mount_point)) {
  std::array<char*, 3> arguments{
      const_cast<char*>("airlock-fs"), const_cast<char*>("-o"),
      const_cast<char*>("allow_other,ro,fsname=airlock,subtype=airlock")};
  fuse_args args = FUSE_ARGS_INIT(static_cast<int>(arguments.size()), arguments.data());
  session_ = fuse_session_new(&args, &operations(), sizeof operations(), &view_);
  fuse_opt_free_args(&args);
  if (session_ == nullptr) throw std::runtime_error("libfuse refuses its options");
  try {
    mount_or_throw(session_, mount_point_);
  } catch (...) {
    fuse_session_destroy(session_);
    throw;
  }
  install_wake_signal();
  for (int i = 0; i < thread_count; ++i) {
    ++serving_;
    threads_.emplace_back([this] { serve(); });
  }
  if (const auto root = identity_of_folder(mount_point_)) device_ = root->device;
  sockets_.emplace(
      view_.tree, make_writable_clone(mount_point_),
      [this](NodeId folder, const std::string& name) { drop_cached_below(folder, name); });
}

Mount::~Mount() {
  view_.contacts.stop();
  sockets_.reset();
  fuse_session_exit(session_);
  while (serving_ > 0) {
    for (auto& thread : threads_) ::pthread_kill(thread.native_handle(), wake_signal);
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
  for (auto& thread : threads_) thread.join();
  // Ends the connection first, so that nobody waits for a mount that no one serves, then unmounts
  // lazily: a sandbox that is still being taken down holds a part of it.
  fuse_session_unmount(session_);
  fuse_session_destroy(session_);
}

bool Mount::is_mounted() const {
  // Not whether the threads still read: what holds a file of an unmounted filesystem keeps it
  // going.
  // By the device alone: the root's inode number is another one once somebody has asked for it.
  const auto root = identity_of_folder(mount_point_);
  return device_ && root && root->device == *device_;
}

std::uint64_t Mount::device() const {
  if (!device_) throw std::runtime_error("the mount at " + mount_point_ + " cannot be looked at");
  return *device_;
}

void Mount::drop_cached(const std::string& name) {
  drop_cached_below(root_node, name);
}

void Mount::make_room() {
  if (view_.tree.is_crowded()) sockets_->drop_unused();
}

void Mount::drop_cached_below(NodeId folder, const std::string& name) {
  fuse_lowlevel_notify_inval_entry(session_, folder, name.c_str(), name.size());
}

void Mount::serve() {
  keep_view_capabilities();
  fuse_buf buffer{};
  while (fuse_session_exited(session_) == 0) {
    const int size = fuse_session_receive_buf(session_, &buffer);
    if (size == -EINTR || size == -EAGAIN) continue;
    if (size <= 0) break;  // unmounted
    fuse_session_process_buf(session_, &buffer);
  }
  std::free(buffer.mem);
  --serving_;
}

void unmount_leftovers(const std::string& mount_point) {
  // More than one may be stacked there. The folder is root's own, so nobody else mounts on it.
  constexpr int most = 64;
  for (int i = 0; i < most && ::umount2(mount_point.c_str(), MNT_DETACH) == 0; ++i) {
    spdlog::warn("{} was still mounted by an airlock-fs that is gone: unmounted", mount_point);
  }
}

}  // namespace airlock::fusefs
