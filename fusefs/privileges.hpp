#pragma once

namespace airlock::fusefs {

// What each process keeps of root's capabilities, effective and permitted. uid 0 remains: the
// announcing hooks, the mount and the store are root's. The bounding set remains as well, since
// the settle program, started with exec, needs root's own.

/// airlock-fs itself, from when it has made its folders, and every thread started later:
///   SYS_ADMIN        mount and unmount
///   SYS_PTRACE       /proc/PID/root, /proc/PID/ns and /proc/PID/fd of sandboxes
///   DAC_READ_SEARCH  the store, chroot folders under a 0700 parent
///   DAC_OVERRIDE     a build user's terminal, for the reason in the build log
///   KILL             condemned sandboxes
/// Not among them are CHOWN, SETUID, SETGID, SETPCAP and everything of the network.
/// Throws std::runtime_error when the kernel refuses.
void keep_filesystem_capabilities();

/// The threads that answer the kernel, whose arguments come from sandboxes: DAC_READ_SEARCH alone.
/// They share their memory with the thread above, so this is against mistakes, not against code.
void keep_view_capabilities();

/// The thread that finds out who asks: SYS_PTRACE alone, for /proc/PID/ns of sandboxes.
void keep_contact_capabilities();

/// The graft helper, from when it has made its mount namespaces:
///   SYS_ADMIN, SYS_CHROOT, SYS_PTRACE   setns into a sandbox's mount namespace, mounting there
///   DAC_READ_SEARCH, DAC_OVERRIDE       chroot folders; making the names in their store folder
///   FOWNER                              hard links to files of another owner
void keep_graft_capabilities();

}  // namespace airlock::fusefs
