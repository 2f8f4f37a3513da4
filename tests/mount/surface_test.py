"""Every call that could change the view, and every one that reads it: as a build user, as root, and as
root of a user namespace nested in the sandbox; in a session's own folder and in static mode's."""
import os
import stat
import subprocess

import boundary
import kernel
import world
from caller_test import NESTED
from static_test import Desk, VAR
from world import MountTest, STATE, STORE

VIEW = os.path.dirname(STATE)
NESTED_ROOT = "kernel.CLONE_NEWUSER | kernel.CLONE_NEWNS | kernel.CLONE_NEWPID"
SYSCALL = {"mknodat": 259, "openat": 257, "renameat2": 316, "fallocate": 285, "copy_file_range": 326}

# Tries each call, and says what came of it: an errno's name, or "done".
TRY = """
import ctypes, errno, mmap, socket
v, store, folder = {view!r}, {view!r} + "/airlock/store", {view!r} + "/airlock/store/" + {path!r}
file, runs, link = folder + "/file", folder + "/runs", folder + "/link"
own = "/tmp/own-" + {who!r}
open(own, "w").write("mine")
def raw(name, number, *arguments):
    ctypes.set_errno(0)
    if kernel.libc.syscall(ctypes.c_long(number), *arguments) < 0:
        raise OSError(ctypes.get_errno(), name)
def bind(path):
    os.chdir(os.path.dirname(path))  # a socket's address is short
    try:
        socket.socket(socket.AF_UNIX).bind(os.path.basename(path))
    finally:
        os.chdir("/")
def shared_writable():
    fd = os.open(file, os.O_RDONLY)
    try:
        mmap.mmap(fd, 3, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE)
    finally:
        os.close(fd)
places = {{"var": v, "state": v + "/nix", "db": v + "/nix/db", "socket folder": v + "/nix/daemon-socket",
          "channels": v + "/nix/profiles/per-user/root/channels", "airlock": v + "/airlock",
          "store": store, "path": folder, "deep": folder + "/deep"}}
calls = {{}}
for name, p in places.items():
    calls.update({{
        "create " + name: lambda p=p: os.close(os.open(p + "/new", os.O_CREAT | os.O_WRONLY, 0o644)),
        "create exclusive " + name: lambda p=p: os.close(os.open(p + "/new", os.O_CREAT | os.O_EXCL)),
        "tmpfile " + name: lambda p=p: os.close(os.open(p, os.O_TMPFILE | os.O_WRONLY, 0o644)),
        "mkdir " + name: lambda p=p: os.mkdir(p + "/new"),
        "rmdir " + name: lambda p=p: os.rmdir(p),
        "symlink " + name: lambda p=p: os.symlink("/", p + "/new"),
        "link in " + name: lambda p=p: os.link(file, p + "/new"),
        "rename into " + name: lambda p=p: os.rename(file, p + "/new"),
        "rename " + name: lambda p=p: os.rename(p, v + "/other"),
        "mknod " + name: lambda p=p: os.mknod(p + "/new", stat.S_IFREG | 0o644),
        "mkfifo " + name: lambda p=p: os.mkfifo(p + "/new"),
        "device " + name: lambda p=p: os.mknod(p + "/new", stat.S_IFCHR | 0o644, os.makedev(1, 3)),
        "bind " + name: lambda p=p: bind(p + "/new"),
        "chmod " + name: lambda p=p: os.chmod(p, 0o777),
        "chown " + name: lambda p=p: os.chown(p, os.getuid(), os.getgid()),
        "utimens " + name: lambda p=p: os.utime(p, (5, 5)),
        "setxattr " + name: lambda p=p: os.setxattr(p, "user.a", b"b"),
        "removexattr " + name: lambda p=p: os.removexattr(p, "user.a"),
    }})
for name, f in {{"file": file, "runs": runs, "env": v + "/airlock/env",
                "session.json": v + "/airlock/session.json"}}.items():
    calls.update({{
        "unlink " + name: lambda f=f: os.unlink(f),
        "open w " + name: lambda f=f: os.close(os.open(f, os.O_WRONLY)),
        "open rw " + name: lambda f=f: os.close(os.open(f, os.O_RDWR)),
        "open append " + name: lambda f=f: os.close(os.open(f, os.O_WRONLY | os.O_APPEND)),
        "open trunc " + name: lambda f=f: os.close(os.open(f, os.O_RDONLY | os.O_TRUNC)),
        "truncate " + name: lambda f=f: os.truncate(f, 0),
        "chmod " + name: lambda f=f: os.chmod(f, 0o777),
        "chown " + name: lambda f=f: os.chown(f, os.getuid(), os.getgid()),
        "utimens " + name: lambda f=f: os.utime(f),
        "setxattr " + name: lambda f=f: os.setxattr(f, "user.a", b"b"),
        "rename " + name: lambda f=f: os.rename(f, f + "2"),
        "link " + name: lambda f=f: os.link(f, folder + "/new"),
        "rename over " + name: lambda f=f: os.rename(own, f),
        "hard link out " + name: lambda f=f: os.link(f, own + "-link"),
    }})
calls.update({{
    "unlink link": lambda: os.unlink(link),
    "lchown link": lambda: os.lchown(link, os.getuid(), os.getgid()),
    "unlink socket": lambda: os.unlink(v + "/nix/daemon-socket/socket"),
    "chmod socket": lambda: os.chmod(v + "/nix/daemon-socket/socket", 0),
    "bind over socket": lambda: bind(v + "/nix/daemon-socket/socket"),
    "exchange": lambda: raw("renameat2", 316, -100, file.encode(), -100, runs.encode(), 2),
    "mmap shared writable": shared_writable,
}})
found = {{}}
for name, call in calls.items():
    try:
        call()
        found[name] = "done"
    except OSError as error:
        found[name] = errno.errorcode[error.errno]
if os.path.exists(own): os.unlink(own)
result = found
"""

# What another read-only filesystem answers as well: names that exist, other filesystems, devices
# that nobody but root may make, attributes that there are none of, permissions looked at first.
ALSO = {
    "create exclusive": {"EEXIST"}, "link in": {"EPERM", "EXDEV"}, "link": {"EPERM"},
    "device": {"EPERM"}, "chmod": {"EPERM"}, "chown": {"EPERM"}, "lchown": {"EPERM"},
    "utimens": {"EPERM"}, "rmdir": {"EBUSY", "ENOTEMPTY"}, "rename": {"EBUSY", "EXDEV", "EINVAL"},
    "rename over": {"EXDEV"}, "rename into": {"EINVAL"}, "hard": {"EXDEV", "EPERM"},
    "bind over": {"EADDRINUSE"}, "setxattr": {"EOPNOTSUPP", "EPERM"},
    "removexattr": {"EOPNOTSUPP", "EPERM", "ENODATA"}, "tmpfile": {"EOPNOTSUPP", "EISDIR"},
    "mmap": {"EACCES"},
    # The name of the mount point is in a folder that is not the view's.
    "rmdir var": {"EACCES", "EBUSY"}, "rename var": {"EACCES", "EBUSY", "EINVAL", "EXDEV"},
}

READ = """
import ctypes, errno, mmap, subprocess
v, store, folder = {view!r}, {view!r} + "/airlock/store", {view!r} + "/airlock/store/" + {path!r}
file, runs, link, many = folder + "/file", folder + "/runs", folder + "/link", folder + "/many"
def check(what, good):
    if not good: raise AssertionError(what)
def fails(what, number, call, *arguments):
    try:
        call(*arguments)
    except OSError as error:
        return check(f"{{what}}: {{error}}", error.errno == number)
    raise AssertionError(what + " did not fail")
s = os.lstat(file)
check("stat", stat.S_ISREG(s.st_mode) and s.st_mode & 0o7777 == 0o444 and s.st_size == {size} and s.st_nlink == 1)
check("times", s.st_mtime_ns == 10**9 and s.st_atime_ns == 10**9 and s.st_ctime_ns == 10**9)
check("owner", (s.st_uid, s.st_gid) == {owner})
check("number", s.st_ino == os.stat(file).st_ino != os.stat(runs).st_ino)
check("blocks", s.st_blocks == ({size} + 511) // 512 and s.st_blksize >= 512)
check("folder", stat.S_ISDIR(os.stat(folder).st_mode) and os.stat(folder).st_mode & 0o222 == 0)
check("link", os.readlink(link) == "file" and open(link).read() == open(file).read())
check("socket", stat.S_ISSOCK(os.stat(v + "/nix/daemon-socket/socket").st_mode))
fails("absent", errno.ENOENT, os.stat, folder + "/absent")
fails("not a folder", errno.ENOTDIR, os.stat, file + "/x")
fails("a folder read", errno.EISDIR, lambda: os.read(os.open(folder, os.O_RDONLY), 1))
fails("long", errno.ENAMETOOLONG, os.stat, folder + "/" + "x" * 300)
with open(file, "rb") as f:
    text = f.read()
    check("size", len(text) == {size})
    check("seek", f.seek(-5, os.SEEK_END) == {size} - 5 and f.read() == text[-5:])
    check("pread", os.pread(f.fileno(), 100, 70000) == text[70000:70100])
    check("pread over the end", os.pread(f.fileno(), 100, {size} - 3) == text[-3:])
    check("pread after the end", os.pread(f.fileno(), 100, {size} + 3) == b"")
    check("data", os.lseek(f.fileno(), 0, os.SEEK_DATA) == 0)
    check("hole", os.lseek(f.fileno(), 0, os.SEEK_HOLE) == {size})
    m = mmap.mmap(f.fileno(), 0, mmap.MAP_PRIVATE, mmap.PROT_READ | mmap.PROT_WRITE)
    check("mmap", m[:] == text)
    m[0:4] = b"mine"
    m.close()
    m = mmap.mmap(f.fileno(), 0, mmap.MAP_SHARED, mmap.PROT_READ)
    check("mmap shared", m[:] == text)
    fails("write", errno.EBADF, os.write, f.fileno(), b"x")
    fails("truncate", errno.EINVAL, os.ftruncate, f.fileno(), 0)
    fails("chmod by descriptor", {denied}, os.fchmod, f.fileno(), 0o777)
names = sorted(f"name{{i:05}}" for i in range({many}))
check("readdir", os.listdir(many) == names)
check("types", all(e.is_file() for e in os.scandir(many)) and next(e for e in os.scandir(folder) if e.name == "deep").is_dir())
libc = kernel.libc
libc.opendir.restype = libc.readdir.restype = ctypes.c_void_p
libc.telldir.restype = ctypes.c_long
def name_of(entry): return ctypes.string_at(entry + 19).decode()
for place, expected in ((many, names), (store, None)):
    d = ctypes.c_void_p(libc.opendir(place.encode()))
    seen, cookies = [], []
    while True:
        cookies.append(libc.telldir(d))
        entry = libc.readdir(d)
        if not entry: break
        seen.append(name_of(entry))
    check("cookies differ", len(set(cookies)) == len(cookies))
    for at in list(range(0, len(seen), max(1, len(seen) // 40))):
        libc.seekdir(d, ctypes.c_long(cookies[at]))
        check(f"seekdir {{place}} {{at}}", name_of(libc.readdir(d)) == seen[at])
    libc.closedir(d)
    check("the same again", [n for n in seen if n not in (".", "..")] == os.listdir(place))
    check("all", expected is None or [n for n in seen if n not in (".", "..")] == expected)
check("exec", subprocess.run([runs], capture_output=True, env={{}}).stdout == b"ran\\n")
fails("exec of a file", errno.EACCES, subprocess.run, [file])
fails("listxattr", errno.EOPNOTSUPP, os.listxattr, file)
fails("getxattr", errno.EOPNOTSUPP, os.getxattr, file, "user.a")
f = os.statvfs(file)
check("statfs", f.f_namemax == 255 and f.f_bfree == f.f_bavail == f.f_ffree == 0 and f.f_bsize > 0)
for p in (v, v + "/nix", store, folder, file, v + "/nix/daemon-socket"):
    check("may read " + p, os.access(p, os.R_OK) and not os.access(p, os.W_OK))
check("may run", os.access(runs, os.X_OK) and os.access(folder, os.X_OK) and not os.access(file, os.X_OK))
check("may connect", os.access(v + "/nix/daemon-socket/socket", os.R_OK | os.W_OK))
result = True
"""

MANY = 3000


class Surface(MountTest):
    def setUp(self):
        super().setUp()
        text = "".join(f"line {i}\n" for i in range(20000))
        self.size = len(text)
        self.path = world.base("surface")
        folder = f"{STORE}/{self.path}"
        os.makedirs(folder + "/deep/er")
        os.mkdir(folder + "/many")
        for name, content in [("file", text), ("deep/er/x", "x")] + [
                (f"many/name{i:05}", "") for i in range(MANY)]:
            with open(f"{folder}/{name}", "w") as out:
                out.write(content)
        os.symlink("file", folder + "/link")
        # A static program; the sandbox has no library.
        with open("/tmp/runs.c", "w") as source:
            source.write('#include <unistd.h>\nint main() { return write(1, "ran\\n", 4) != 4; }\n')
        subprocess.run(["cc", "-static", "-o", folder + "/runs", "/tmp/runs.c"], check=True)
        os.unlink("/tmp/runs.c")
        world.read_only(folder)
        self.others = [world.add_file(f"other{i}", str(i)) for i in range(300)]

    def sandboxes(self):
        """(name, build, whether its view is static mode's)"""
        self.mediator.reveals = [self.path] + self.others
        build, _ = self.open_session()
        yield "hook mode", build
        root, _ = self.open_session(user_namespace=False)
        yield "hook mode, no user namespace", root
        desk = Desk(self.mediator)
        static = self.make_build()
        desk.reveals[static.derivation] = [self.path] + self.others
        static.start(view=VAR)
        yield "static mode", static

    def everyone(self):
        for mode, build in self.sandboxes():
            yield f"{mode}: build user", lambda code, b=build: b.result(code), False
            yield (f"{mode}: root of a nested user namespace",
                   lambda code, b=build: b.result(NESTED.format(flags=NESTED_ROOT, code=code)), False)
            if mode.startswith("hook mode"):
                view = f"{world.MOUNT}/{build.derivation}"
                yield f"{mode}: root of the host", lambda code, v=view: self.here(code, v), True

    def here(self, code, view):
        scope = {"os": os, "stat": stat, "kernel": kernel}
        exec(code.replace(repr(VIEW), repr(view)), scope)
        return scope["result"]

    def test_nothing_changes(self):
        for number, (who, run, _) in enumerate(self.everyone()):
            with self.subTest(who):
                found = run(TRY.format(view=VIEW, path=self.path, who=str(number)))
                self.assertGreater(len(found), 200)
                for name, came in found.items():
                    words = name.split()
                    also = ALSO.get(" ".join(words[:2]), ALSO.get(words[0], set()))
                    came = came.replace("ENOTSUP", "EOPNOTSUPP")
                    self.assertIn(came, {"EROFS"} | also, f"{who}: {name}")
        with open(f"{STORE}/{self.path}/file") as file:
            self.assertEqual(len(file.read()), self.size)

    def test_nothing_changes_where_the_mount_has_arrived(self):
        """A worker of Nix's that makes the store writable for itself has mount namespaces of its own,
        and the view comes there by propagation. While sockets are bound the superblock is writable:
        then a file opened to write would be everybody's, since its pages are."""
        kernel.mount(None, world.TOP, None, kernel.MS_SHARED)
        self.addCleanup(kernel.mount, None, world.TOP, None, kernel.MS_PRIVATE)
        self.fs.stop()
        self.mediators.remove(self.mediator)
        self.mediator.close()
        build = self.make_build(wrapper=["unshare", "--mount", "--propagation", "unchanged"])
        build.killed_by(0)  # it has them by now
        self.fs = world.AirlockFs(*self.arguments)
        self.mediator = self.connect()
        path = world.add_folder("shared", {"file": "text"})
        self.mediator.reveals = [path]
        answer = build.announce(self.mediator)
        self.assertEqual(answer["kind"], boundary.ANNOUNCED, answer)
        build.start(view=answer["text"])
        file = f"{VIEW}/airlock/store/{path}/file"
        self.assertEqual(build.result(f"result = open('{file}').read()"), "text")
        kernel.mount(None, world.MOUNT, None, kernel.MS_REMOUNT)  # the superblock's flag as well
        self.assertEqual(build.run(f"open('{file}', 'r+')").get("errno"), "EROFS")

    def test_everything_can_be_read(self):
        for who, run, is_root in self.everyone():
            with self.subTest(who):
                outside = is_root or who == "hook mode, no user namespace: build user"
                owner = (0, 0) if outside else (65534, 65534)
                code = READ.format(view=VIEW, path=self.path, size=self.size, many=MANY, owner=owner,
                                   denied="errno.EROFS")
                self.assertTrue(run(code))

    def stop(self):
        for build in self.builds:
            build.close()
        self.builds = []
        super().stop()


class SurfaceOnAnOldKernel(Surface):
    arguments = ("--without", "noopen,noopendir,readdirplus,cachedir,peerpidfd,links")


if __name__ == "__main__":
    world.main()
