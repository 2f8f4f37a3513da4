"""What a sandbox finds at the parent of Nix's state folder, and that nobody can change it."""
import json
import os
import stat
import subprocess

import boundary
import world
from world import MountTest, RUN, STATE, STORE, base

VIEW = os.path.dirname(STATE)

LIST_ALL = """
found = {}
def content(path):
    with open(path, "rb") as file:
        data = file.read()
    return data.hex() if b"\\0" in data else data.decode()
def walk(folder):
    for name in os.listdir(folder):
        path = os.path.join(folder, name)
        s = os.lstat(path)
        found[os.path.relpath(path, top)] = [
            s.st_mode, s.st_ino, s.st_nlink, s.st_uid, s.st_gid, s.st_size, s.st_mtime_ns,
            os.readlink(path) if stat.S_ISLNK(s.st_mode) else
            content(path) if stat.S_ISREG(s.st_mode) else None]
        if stat.S_ISDIR(s.st_mode):
            walk(path)
walk(top)
result = found
"""


class View(MountTest):
    def list_view(self, build):
        return build.result(f"top = '{VIEW}'\n{LIST_ALL}")

    def test_the_tree(self):
        channel = world.add_folder("nixpkgs", {"default.nix": "{ }: 1"})
        file = world.add_file("plain", "text")
        link = world.add_symlink("symlink", "/nix/elsewhere")
        self.mediator.channels = ["nixpkgs", channel, "other", channel]
        self.mediator.reveals = [channel, file, link, base("missing")]
        build, _ = self.open_session()
        found = self.list_view(build)
        per_user = "nix/profiles/per-user/root/channels"
        self.assertEqual(sorted(found), sorted([
            "airlock", "airlock/bin", "airlock/bin/airlock", "airlock/bin/nix-build",
            "airlock/bin/nix-instantiate", "airlock/env", "airlock/etc", "airlock/etc/nix.conf", "airlock/nix.conf",
            "airlock/session.json", "airlock/store",
            f"airlock/store/{channel}", f"airlock/store/{channel}/default.nix",
            f"airlock/store/{file}", f"airlock/store/{link}",
            "nix", "nix/daemon-socket", "nix/daemon-socket/socket", "nix/db", "nix/gcroots",
            "nix/profiles", "nix/profiles/per-user", "nix/profiles/per-user/root", per_user,
            f"{per_user}/nixpkgs", f"{per_user}/other", "nix/temproots"]))
        self.assertEqual(found[f"{per_user}/nixpkgs"][-1], f"{STORE}/{channel}")
        self.assertEqual(found[f"airlock/store/{channel}/default.nix"][-1], "{ }: 1")
        self.assertEqual(found[f"airlock/store/{link}"][-1], "/nix/elsewhere")
        self.assertEqual(stat.S_IMODE(found["airlock/bin/airlock"][0]), 0o555)
        with open(os.path.dirname(world.PROGRAM) + "/../libexec/airlock/airlock-guest", "rb") as guest:
            self.assertEqual(found["airlock/bin/airlock"][-1], guest.read().hex())
        self.assertEqual(found["airlock/bin/nix-build"][-1], "airlock")
        self.assertTrue(stat.S_ISSOCK(found["nix/daemon-socket/socket"][0]))
        session = json.loads(found["airlock/session.json"][-1])
        self.assertEqual(session, {"derivation": f"{STORE}/{build.derivation}",
                                   "nixPath": [f"nixpkgs={STORE}/{channel}",
                                               f"other={STORE}/{channel}"],
                                   "nixConfig": {}})
        for name, values in found.items():
            # owner and group are root's, which is nobody's in the sandbox's user namespace
            self.assertEqual(values[2:5] + values[6:7], [1, 65534, 65534, 10**9], name)
            if not stat.S_ISLNK(values[0]) and not stat.S_ISSOCK(values[0]):
                self.assertEqual(values[0] & 0o222, 0, name)
        numbers = [values[1] for values in found.values()]
        self.assertEqual(len(set(numbers)), len(numbers))

    def test_it_follows_from_the_derivation(self):
        """Two builds of a derivation, with another machine around each, see the same."""
        channel = world.add_folder("nixpkgs", {"default.nix": "1", "lib/x.nix": "2"})
        views = []
        for turn in range(2):
            self.mediator.channels = ["nixpkgs", channel]
            self.mediator.reveals = [channel]
            build, session = self.open_session(derivation=base("same.drv"))
            views.append(self.list_view(build))
            build.close()
            self.mediator.take_until(boundary.SESSION_ENDED, session)
            for index in range(turn + 3):  # other sessions use up numbers of all kinds
                self.mediator.reveals = []
                self.open_session(derivation=base(f"other{turn}{index}.drv"))
            os.utime(f"{STORE}/{channel}/default.nix", (turn + 100, turn + 100))
            os.chmod(f"{STORE}/{channel}/lib", 0o555 - turn * 0o001)
        self.assertEqual(views[0], views[1])

    def test_nothing_can_be_changed(self):
        folder = world.add_folder("folder", {"file": "x"})
        self.mediator.reveals = [folder]
        build, _ = self.open_session()
        attempts = {
            "mkdir": "os.mkdir(f + '/new')",
            "mknod": "os.mknod(f + '/new')",
            "fifo": "os.mkfifo(f + '/new')",
            "create": "os.open(f + '/new', os.O_CREAT | os.O_WRONLY)",
            "symlink": "os.symlink('/', f + '/new')",
            "link": "os.link(x, f + '/new')",
            "rename": "os.rename(x, f + '/new')",
            "rename folder": "os.rename(f, f + '2')",
            "unlink": "os.unlink(x)",
            "rmdir": "os.rmdir(v + '/nix/db')",
            "unlink socket": "os.unlink(v + '/nix/daemon-socket/socket')",
            "write": "os.open(x, os.O_WRONLY)",
            "read and write": "os.open(x, os.O_RDWR)",
            "append": "os.open(x, os.O_WRONLY | os.O_APPEND)",
            "truncate": "os.truncate(x, 0)",
            "open to truncate": "os.open(x, os.O_RDONLY | os.O_TRUNC)",
            "chmod": "os.chmod(x, 0o777)",
            "chmod socket": "os.chmod(v + '/nix/daemon-socket/socket', 0)",
            "chown": "os.chown(x, os.getuid(), os.getgid())",
            "utime": "os.utime(x)",
            "setxattr": "os.setxattr(x, 'user.a', b'b')",
            "bind": "socket.socket(socket.AF_UNIX).bind(v + '/nix/daemon-socket/other')",
            "bind at once": "socket.socket(socket.AF_UNIX).bind(v + '/nix/gcroots/socket')",
        }
        root_too = {**attempts}
        view = f"{world.MOUNT}/{build.derivation}"
        for place in ("nix/gcroots", "nix/daemon-socket", "airlock", "airlock/store",
                      f"airlock/store/{folder}", "nix/profiles/per-user/root/channels"):
            for name, code in root_too.items():
                file = f"airlock/store/{folder}/file"
                with self.subTest(place=place, attempt=name):
                    names = f"v = '{VIEW}'; f = v + '/{place}'; x = v + '/{file}'\n"
                    self.assertIn(build.run(names + code).get("errno"), ("EROFS", "EPERM"))
                    if name.startswith("rename folder"):
                        continue
                    # And for root of the host, to whom the kernel denies nothing by itself.
                    scope = {"os": os, "socket": __import__("socket"), "v": view,
                             "f": f"{view}/{place}", "x": f"{view}/{file}"}
                    with self.assertRaises(OSError) as raised:
                        exec(code, scope)
                    self.assertIn(raised.exception.errno, (30, 95), name)  # EROFS, EOPNOTSUPP
        self.assertEqual(self.list_view(build)[f"airlock/store/{folder}/file"][-1], "x")

    def test_access(self):
        build, _ = self.open_session()
        view = f"{world.MOUNT}/{build.derivation}"
        for name in ("", "/nix", "/nix/db", "/airlock", "/airlock/env", "/airlock/store"):
            self.assertFalse(os.access(view + name, os.W_OK), name)  # uid 0
            self.assertTrue(os.access(view + name, os.R_OK), name)
            self.assertFalse(build.result(f"result = os.access('{VIEW}{name}', os.W_OK)"), name)
            self.assertTrue(build.result(f"result = os.access('{VIEW}{name}', os.R_OK)"), name)
        self.assertTrue(os.access(view + "/nix/daemon-socket/socket", os.W_OK))
        self.assertTrue(build.result(
            f"result = os.access('{VIEW}/nix/daemon-socket/socket', os.R_OK | os.W_OK)"))
        self.assertFalse(build.result(f"result = os.access('{VIEW}/airlock/env', os.X_OK)"))

    def test_the_real_nix_picks_the_daemon(self):
        build, _ = self.open_session()
        view = f"{world.MOUNT}/{build.derivation}"
        environment = {**os.environ, "NIX_STATE_DIR": view + "/nix", "NIX_STORE_DIR": STORE,
                       "NIX_REMOTE": "", "HOME": "/tmp"}
        try:
            client = subprocess.Popen(["nix-store", "-q", "--hash", f"{STORE}/{base('x')}"],
                                      env=environment, stdout=subprocess.DEVNULL,
                                      stderr=subprocess.DEVNULL)
        except FileNotFoundError:
            self.skipTest("there is no nix-store")
        import socket
        listening = socket.socket(fileno=os.dup(max(self.mediator.sessions.items())[1]))
        listening.settimeout(10)
        accepted, _ = listening.accept()
        self.assertEqual(accepted.recv(4), b"cxin")
        client.kill()
        client.wait(10)
        accepted.close()
        listening.close()

    def test_only_what_is_revealed_is_there(self):
        shown = world.add_folder("shown", {"a": "1"})
        hidden = world.add_folder("hidden", {"a": "2"})
        self.mediator.reveals = [shown]
        build, session = self.verified_session()
        for path in (hidden, f"{shown}/../{hidden}/a", base("missing"), "..", ".links"):
            answer = build.run(f"os.stat('{VIEW}/airlock/store/{path}')")
            if path != "..":
                self.assertEqual(answer.get("errno"), "ENOENT", path)
        self.mediator.request(boundary.REVEAL, session, [hidden])
        self.assertEqual(build.result(f"result = open('{VIEW}/airlock/store/{hidden}/a').read()"),
                         "2")
        self.assertEqual(build.result(f"result = os.listdir('{VIEW}/airlock/store')"),
                         sorted([shown, hidden]))

    def test_symlinks_are_not_followed_by_airlock(self):
        outside = world.TOP + "/outside"
        os.makedirs(outside, exist_ok=True)
        with open(outside + "/secret", "w") as file:
            file.write("secret")
        path = world.base("links")
        os.mkdir(f"{STORE}/{path}")
        os.symlink(outside, f"{STORE}/{path}/out")
        os.symlink("..", f"{STORE}/{path}/up")
        os.chmod(f"{STORE}/{path}", 0o555)
        self.mediator.reveals = [path]
        build, _ = self.open_session()
        for name in ("out/secret", f"up/{build.derivation}.chroot"):
            self.assertEqual(build.run(f"os.stat('{VIEW}/airlock/store/{path}/{name}')")
                             .get("errno"), "ENOENT")
        self.assertEqual(os.readlink(f"{world.MOUNT}/{build.derivation}/airlock/store/{path}/out"),
                         outside)

    def test_long_listings_are_whole_and_sorted(self):
        many = {f"file-with-a-rather-long-name-{i:05}": "" for i in range(5000)}
        folder = world.add_folder("many", many)
        paths = [world.add_file(f"path{i}", str(i)) for i in range(2000)]
        build, session = self.verified_session()
        self.mediator.request(boundary.REVEAL, session, [folder])
        for first in range(0, len(paths), 500):
            self.mediator.request(boundary.REVEAL, session, paths[first:first + 500])
        self.assertEqual(build.result(f"result = os.listdir('{VIEW}/airlock/store')"),
                         sorted(paths + [folder]))
        self.assertEqual(build.result(f"result = os.listdir('{VIEW}/airlock/store/{folder}')"),
                         sorted(many))

    def test_big_files(self):
        content = bytes(range(256)) * 4096 * 3 + b"end"
        path = world.add_file("big", content)
        self.mediator.reveals = [path]
        build, _ = self.open_session()
        with open(f"{world.MOUNT}/{build.derivation}/airlock/store/{path}", "rb") as file:
            self.assertEqual(file.read(), content)
            file.seek(1_000_001)
            self.assertEqual(file.read(17), content[1_000_001:1_000_018])

    def test_the_environment_script(self):
        build, _ = self.open_session()
        script = f"{world.MOUNT}/{build.derivation}/airlock/env"
        shown = subprocess.run(
            ["env", "-i", "HOME=/homeless-shelter", f"TMPDIR={world.TOP}", "PATH=" + os.environ["PATH"],
             "sh", "-euc", f". {script}; echo $NIX_REMOTE $NIX_CONF_DIR $HOME $XDG_CACHE_HOME"],
            capture_output=True, text=True, check=True).stdout.split()
        home = f"{world.TOP}/airlock-home"
        self.assertEqual(shown, ["daemon", f"{VIEW}/airlock", home, f"{home}/.cache"])
        os.rmdir(home)

    def test_the_environment_script_where_path_has_nothing(self):
        build, _ = self.open_session()
        script = f"{world.MOUNT}/{build.derivation}/airlock/env"
        ran = subprocess.run(
            ["env", "-i", "HOME=/homeless-shelter", f"TMPDIR={world.TOP}", "PATH=/nonexistent",
             "/bin/sh", "-euc", f". {script}; echo $HOME $XDG_CACHE_HOME"],
            capture_output=True, text=True)
        self.assertEqual((ran.returncode, ran.stdout.split(), ran.stderr),
                         (0, [world.TOP, f"{world.TOP}/.cache"], ""))

    def test_forgotten_names_come_back(self):
        folder = world.add_folder("folder", {"deep/er/file": "x"})
        self.mediator.reveals = [folder]
        build, session = self.open_session()
        for _ in range(3):
            self.assertEqual(build.result(
                f"result = open('{VIEW}/airlock/store/{folder}/deep/er/file').read()"), "x")
            with open("/proc/sys/vm/drop_caches", "w") as file:
                file.write("2")
        # The socket's node is pinned by the bound socket and answers still.
        self.call(build, session).close()

    def test_the_root_lists_sessions(self):
        first, _ = self.open_session()
        second, _ = self.open_session()
        self.assertEqual(os.listdir(world.MOUNT), sorted([first.derivation, second.derivation]) + ["var"])
        with self.assertRaises(FileNotFoundError):
            os.stat(world.MOUNT + "/nothing")

    def test_two_sessions_do_not_share(self):
        path = world.add_folder("folder", {"a": "1"})
        self.mediator.reveals = [path]
        first, _ = self.open_session()
        self.mediator.reveals = []
        second, _ = self.open_session()
        code = f"result = os.listdir('{VIEW}/airlock/store')"
        self.assertEqual(first.result(code), [path])
        self.assertEqual(second.result(code), [])

    def test_another_user_of_the_host_cannot_look(self):
        build, _ = self.open_session()
        child = os.fork()
        if child == 0:
            os.setuid(world.OTHER_UID)
            try:
                os.listdir(f"{world.MOUNT}/{build.derivation}")
                os._exit(0)
            except PermissionError:
                os._exit(13)
        self.assertEqual(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), 13)


if __name__ == "__main__":
    world.main()
