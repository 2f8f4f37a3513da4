"""System calls that Python 3.11 has no names for."""
import ctypes
import os

libc = ctypes.CDLL(None, use_errno=True)
libc.syscall.restype = ctypes.c_long

SYS_CLONE, SYS_PIVOT_ROOT = 56, 155
if os.uname().machine == "aarch64":
    SYS_CLONE, SYS_PIVOT_ROOT = 220, 41

CLONE_NEWNS, CLONE_NEWUSER, CLONE_NEWPID = 0x20000, 0x10000000, 0x20000000
MS_RDONLY, MS_NOSUID, MS_NODEV = 1, 2, 4
MS_REMOUNT, MS_BIND, MS_REC, MS_PRIVATE, MS_SLAVE, MS_SHARED = (
    32, 4096, 16384, 1 << 18, 1 << 19, 1 << 20)
MNT_DETACH = 2


def check(result, what):
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
    return result


def bytes_or_none(text):
    return None if text is None else os.fsencode(text)


def mount(source, target, kind, flags, data=None):
    check(libc.mount(bytes_or_none(source), os.fsencode(target), bytes_or_none(kind),
                     ctypes.c_ulong(flags), bytes_or_none(data)), f"mount {target}")


def umount(target, flags=0):
    check(libc.umount2(os.fsencode(target), flags), f"umount {target}")


def unshare(flags):
    check(libc.unshare(flags), "unshare")


def become_root(flags=CLONE_NEWNS):
    """A user namespace in which the caller is root, and other namespaces that belong to it."""
    texts = {"setgroups": "deny", "uid_map": f"0 {os.getuid()} 1", "gid_map": f"0 {os.getgid()} 1"}
    unshare(flags | CLONE_NEWUSER)
    for name, text in texts.items():
        with open(f"/proc/self/{name}", "w") as file:
            file.write(text)


def clone(flags):
    """Like os.fork, with namespaces; SIGCHLD at the end."""
    return check(libc.syscall(ctypes.c_long(SYS_CLONE), ctypes.c_ulong(flags | 17), 0, 0, 0, 0),
                 "clone")


def pivot_root(new, old):
    check(libc.syscall(ctypes.c_long(SYS_PIVOT_ROOT), os.fsencode(new), os.fsencode(old)),
          "pivot_root")
