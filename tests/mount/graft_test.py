"""Grafts: readable at the real path, and read-only whatever a sandbox does."""
import os
import shutil
import signal
import stat
import time

import boundary
import kernel
import world
from caller_test import NESTED, NESTED_FLAGS
from world import MountTest, STATE, STORE

# Root of a user namespace inside the sandbox tries to make a graft writable, then to write.
REMOUNT = """
def attempt(action):
    try:
        action()
        return "done"
    except OSError as error:
        return errno.errorcode[error.errno]

bind = kernel.MS_REMOUNT | kernel.MS_BIND
def copy():
    os.makedirs("/tmp/copy", exist_ok=True)
    kernel.mount({path!r}, "/tmp/copy", None, kernel.MS_BIND)
    kernel.mount(None, "/tmp/copy", None, bind)
result = {{
    "read": open({path!r} + "/file").read(),
    "remount": attempt(lambda: kernel.mount(None, {path!r}, None, bind)),
    "remount copy": attempt(copy),
    "write": attempt(lambda: open({path!r} + "/new", "w")),
    "chmod": attempt(lambda: os.chmod({path!r}, 0o777)),
}}
# A namespace may take the graft off its own view; what is then seen belongs to root all the same.
attempt(lambda: kernel.umount({path!r}, kernel.MNT_DETACH))
result["write later"] = attempt(lambda: open({path!r} + "/new", "w"))
result["chmod later"] = attempt(lambda: os.chmod({path!r}, 0o777))
result["rename later"] = attempt(lambda: os.rename({path!r}, {path!r} + "x"))
"""

def path_of(name):
    return world.base(name)


REFUSED = ("EPERM", "EROFS", "EACCES", "EINVAL", "EBUSY")


class Graft(MountTest):
    def grafts(self):
        """One store path of each kind: name -> (path, code that reads it, what that gives)."""
        folder = world.add_folder("folder", {"file": "in folder", "deep/er": "deeper"})
        file = world.add_file("file", "in file")
        with open("/bin/busybox", "rb") as source:
            program = world.add_file("program", source.read(), executable=True)
        link = world.add_symlink("link", f"{STORE}/{file}")
        return {
            "folder": (folder, f"open('{STORE}/{folder}/file').read()", "in folder"),
            "file": (file, f"open('{STORE}/{file}').read()", "in file"),
            "program": (program, "subprocess.run(['busybox', 'echo', 'hi'], stdout=-1, "
                                 f"executable='{STORE}/{program}').stdout.decode()", "hi\n"),
            "link": (link, f"open('{STORE}/{link}').read()", "in file"),
        }

    def test_several_at_once(self):
        build, session = self.verified_session()
        grafts = self.grafts()
        paths = [path for path, _, _ in grafts.values()]
        self.assertEqual(self.mediator.request(boundary.GRANT, session, paths), (True, ""))
        for name, (_, code, expected) in grafts.items():
            with self.subTest(name):
                self.assertEqual(build.result(f"result = {code}"), expected)
        # One that cannot be made fails them all, but is no reason not to make the others.
        more = [world.add_folder(f"more{number}", {"file": "x"}) for number in range(40)]
        made, why = self.mediator.request(boundary.GRANT, session, more[:20] + [path_of("absent")] + more[20:])
        self.assertFalse(made)
        self.assertIn("find the store path", why)
        self.assertEqual(build.result(f"result = sum(open('{STORE}/' + path + '/file').read() == 'x' for path in {more!r})"),
                         len(more))

    def test_every_kind_is_readable(self):
        build, session = self.verified_session()
        for name, (path, code, expected) in self.grafts().items():
            with self.subTest(name):
                before = build.run(f"os.lstat('{STORE}/{path}')")
                self.assertEqual(before.get("errno"), "ENOENT")
                self.assertEqual(self.grant(session, path), (True, ""))
                self.assertEqual(build.result(f"result = {code}"), expected)
                # Again, and in the view as well.
                self.assertEqual(self.grant(session, path), (True, ""))
                self.assertTrue(build.result(
                    f"result = os.path.lexists('{os.path.dirname(STATE)}/airlock/store/{path}')"))

    def test_none_is_writable(self):
        build, session = self.verified_session()
        attempts = [
            "open(path, 'a')", "open(path, 'w')", "os.chmod(path, 0o777)", "os.unlink(path)",
            "os.rename(path, path + 'x')", "os.rename(path, '/tmp/x')", "os.utime(path)",
            "os.chown(path, os.getuid(), os.getgid())", "os.mkdir(path + '/new')", "os.rmdir(path)",
            "os.symlink('/', path)", "os.open(path + '/new', os.O_CREAT | os.O_WRONLY)",
            "os.chmod(path + '/file', 0o777)", "os.unlink(path + '/file')",
            "os.open(path + '/file', os.O_RDWR)",
        ]
        for name, (path, code, expected) in self.grafts().items():
            if name == "link":
                attempts = [a for a in attempts if "open(path" not in a and "chmod(path," not in a
                            and "utime" not in a and "chown" not in a]
            self.assertEqual(self.grant(session, path), (True, ""))
            for attempt in attempts:
                with self.subTest(name, attempt=attempt):
                    answer = build.run(f"path = '{STORE}/{path}'\n{attempt}")
                    self.assertIn("errno", answer)
            self.assertEqual(build.result(f"result = {code}"), expected)

    def assertLocked(self, tried):
        self.assertEqual(tried.pop("read"), "in folder")
        for what, result in tried.items():
            self.assertIn(result, REFUSED, what)

    def test_locked_for_a_namespace_made_after(self):
        build, session = self.verified_session()
        path = self.grafts()["folder"][0]
        self.assertEqual(self.grant(session, path), (True, ""))
        for name in ("user and mount", "user, mount and pid"):
            with self.subTest(name):
                self.assertLocked(build.result(NESTED.format(
                    flags=NESTED_FLAGS[name], code=REMOUNT.format(path=f"{STORE}/{path}"))))
        self.assertEqual(os.listdir(f"{STORE}/{path}"), ["deep", "file"])

    def test_locked_for_a_namespace_made_before(self):
        build, session = self.verified_session()
        path = self.grafts()["folder"][0]
        # The namespace exists, waits for the graft to arrive by propagation, and then tries.
        code = f"""
until = time.monotonic() + 10
while not os.path.exists("/tmp/go") and time.monotonic() < until:
    time.sleep(0.01)
{REMOUNT.format(path=f"{STORE}/{path}")}
open("/tmp/tried", "w").write(json.dumps(result))
"""
        start = NESTED.format(flags=NESTED_FLAGS["user and mount"], code=code)
        start = start.replace("answer = json.loads(os.read(read_end, 65536))",
                              'answer = {"result": None}')
        build.result(start)
        time.sleep(0.3)
        self.assertEqual(self.grant(session, path), (True, ""))
        build.result("open('/tmp/go', 'w').close()")
        tried = build.result("""
import os.path
until = time.monotonic() + 10
while not os.path.exists("/tmp/tried") and time.monotonic() < until:
    time.sleep(0.01)
time.sleep(0.1)
result = json.load(open("/tmp/tried"))
""")
        self.assertLocked(tried)
        self.assertEqual(os.listdir(f"{STORE}/{path}"), ["deep", "file"])

    def test_a_name_that_the_build_made_is_refused_and_not_followed(self):
        makes = {
            "folder": "os.mkdir(path)",
            "file": "open(path, 'w').write('mine')",
            "link": "os.symlink('/tmp', path)",
            "dangling": "os.symlink('/nowhere', path)",
            "to itself": "os.symlink(path, path)",
        }
        kinds = self.grafts()
        for made, code in makes.items():
            build, session = self.verified_session()
            for kind, (path, read, expected) in kinds.items():
                with self.subTest(made=made, granted=kind):
                    build.result(f"path = '{STORE}/{path}'\n{code}\nresult = 1")
                    ok, why = self.grant(session, path)
                    self.assertFalse(ok)
                    self.assertIn("of its own", why)
            self.assertEqual(build.result("result = os.listdir('/tmp')"), [])
            build.close()
            self.mediator.take_until(boundary.SESSION_ENDED, session)

    def test_what_was_granted_may_be_granted_again(self):
        """By the next airlock-fs, too: airlockd repeats what it had no answer to."""
        build, session = self.verified_session()
        kinds = self.grafts()
        paths = [path for path, _, _ in kinds.values()]
        self.assertEqual(self.mediator.request(boundary.GRANT, session, paths * 2), (True, ""))
        # This one was killed between the folder and the mount.
        half = world.add_folder("half", {"file": "x"})
        os.mkdir(f"{build.folder}{STORE}/{half}", 0o555)
        self.fs.stop(signal.SIGKILL)
        self.mediators.remove(self.mediator)
        self.mediator.channel.close()
        self.fs = world.AirlockFs(*self.arguments)
        self.mediator = self.connect(self.mediator)
        for path in paths + [half]:
            with self.subTest(path):
                self.assertEqual(self.grant(session, path), (True, ""))
        for name, (_, code, expected) in kinds.items():
            self.assertEqual(build.result(f"result = {code}"), expected)
        self.assertEqual(build.result(f"result = open('{STORE}/{half}/file').read()"), "x")

    def test_a_name_held_by_a_mount_is_refused(self):
        build, session = self.verified_session(user_namespace=False)
        path = self.grafts()["folder"][0]
        place = f"{build.folder}{STORE}/{path}"
        build.result(f"os.mkdir('{STORE}/{path}')\nresult = 1")
        self.assertTrue(os.path.isdir(place))
        self.assertFalse(self.grant(session, path)[0])

    def test_an_input_is_there_already(self):
        path = self.grafts()["folder"][0]
        build, session = self.verified_session(inputs=[path])
        self.assertEqual(self.grant(session, path), (True, ""))

    def test_what_nix_has_not_registered_is_refused(self):
        build, session = self.verified_session()
        other = self.make_build()
        unfinished = world.base("unfinished")
        os.mkdir(f"{STORE}/{unfinished}", 0o755)
        for path in (unfinished, other.derivation + ".chroot", build.derivation + ".chroot",
                     world.base("missing")):
            with self.subTest(path):
                self.assertFalse(self.grant(session, path)[0])
                self.assertEqual(build.run(f"os.lstat('{STORE}/{path}')").get("errno"), "ENOENT")
                self.assertEqual(build.run(
                    f"os.lstat('{os.path.dirname(STATE)}/airlock/store/{path}')").get("errno"),
                    "ENOENT")

    def test_nothing_is_granted_before_first_contact(self):
        build, session = self.open_session()
        path = self.grafts()["folder"][0]
        ok, why = self.grant(session, path)
        self.assertFalse(ok)
        self.assertIn("called", why)

    def test_files_are_links_and_not_copies(self):
        build, session = self.verified_session()
        for name in ("file", "program", "link"):
            path = self.grafts()[name][0] if name == "file" else path_of(name)
            self.assertEqual(self.grant(session, path), (True, ""))
            self.assertEqual(os.lstat(f"{build.folder}{STORE}/{path}").st_ino,
                             os.lstat(f"{STORE}/{path}").st_ino)

    def test_a_read_only_store(self):
        """As on NixOS: the store is mounted read-only over itself."""
        build, session = self.verified_session()
        kinds = self.grafts()
        self.fs.stop()
        self.mediator.close()
        self.mediators.clear()
        build.close()
        again = self.make_build()
        kernel.mount(STORE, STORE, None, kernel.MS_BIND)
        kernel.mount(None, STORE, None, kernel.MS_BIND | kernel.MS_REMOUNT | kernel.MS_RDONLY)
        try:
            self.fs = world.AirlockFs(*self.arguments)
            self.mediator = self.connect()
            # Nix's worker has a writable store in a namespace of its own; here it is enough that
            # the sandbox's folder is reached through another mount.
            answer = again.announce(self.mediator)
            self.assertEqual(answer["kind"], boundary.ANNOUNCED, answer)
        finally:
            kernel.umount(STORE, kernel.MNT_DETACH)
        session = max(self.mediator.sessions)
        again.start(view=answer["text"])
        with self.call(again, session) as accepted:
            ok, why = self.mediator.request(boundary.VERIFY, session, fd=accepted.fileno())
            self.assertTrue(ok, why)
        for name, (path, code, expected) in kinds.items():
            with self.subTest(name):
                self.assertEqual(self.grant(session, path), (True, ""))
                self.assertEqual(again.result(f"result = {code}"), expected)

    def test_setuid_bits_are_not_honoured(self):
        build, session = self.verified_session()
        path = self.grafts()["folder"][0]
        self.assertEqual(self.grant(session, path), (True, ""))
        mounts = build.result("result = open('/proc/self/mountinfo').read()")
        line = [text for text in mounts.splitlines() if f"{STORE}/{path} " in text][0]
        flags = line.split()[5].split(",")
        self.assertTrue({"ro", "nosuid", "nodev"} <= set(flags), line)

    def test_many(self):
        build, session = self.verified_session()
        paths = [world.add_folder(f"many{i}", {"file": str(i)}) for i in range(300)]
        started = time.monotonic()
        for path in paths:
            self.assertEqual(self.grant(session, path), (True, ""))
        took = time.monotonic() - started
        print(f"({took / len(paths) * 1e6:.0f} us a graft of a folder)", end=" ", flush=True)
        listed = build.result(f"result = sorted(os.listdir('{STORE}'))")
        self.assertEqual(listed, sorted(paths))


class GraftWithoutLinks(Graft):
    """As where the file has all the links it may have, or the store is on another filesystem."""
    arguments = ("--without", "links")
    test_files_are_links_and_not_copies = None
    test_many = None

    def test_files_are_copied(self):
        build, session = self.verified_session()
        for name, (path, code, expected) in self.grafts().items():
            with self.subTest(name):
                self.assertEqual(self.grant(session, path), (True, ""))
                self.assertEqual(build.result(f"result = {code}"), expected)
                seen = build.result(f"s = os.lstat('{STORE}/{path}')\nresult = [s.st_mode, s.st_uid]")
                self.assertEqual(seen[0], os.lstat(f"{STORE}/{path}").st_mode)
                self.assertIn("errno", build.run(f"os.chmod('{STORE}/{path}', 0o777)")
                              if name != "link" else {"errno": 1})


if __name__ == "__main__":
    world.main()
