"""A hostile stand-in for airlockd: whatever it says, nothing happens outside a sandbox that root
announced, and nothing that the messages do not allow happens inside."""
import array
import os
import random
import signal
import socket
import struct
import time

import boundary
import world
from world import MountTest, RUN, STATE, STORE, base

BAD_NAMES = [
    "", ".", "..", "/", "/etc", "../../etc", "a" * 300, base("x")[:32], base("x")[:33],
    base("x") + "/y", "/nix/store/" + base("x"), base("x") + "\0", base("a b"), base("é"),
    base("..").replace("-..", "-.."), "." + base("x"), base("x").upper(), base("y" * 212),
    base("x") + "\n" + base("y"), ".links",
]


class Hostile(MountTest):
    def snapshot(self):
        """All that exists in the store and of processes, apart from airlock-fs's own."""
        names = {}
        for folder, folders, files in os.walk(world.TOP + "/nix"):
            for name in folders + files:
                path = os.path.join(folder, name)
                state = os.lstat(path)
                names[path] = (state.st_mode, state.st_ino, state.st_nlink, state.st_uid)
        with open("/proc/self/mounts") as mounts:
            return names, mounts.read()

    def assertFails(self, *request, **more):
        ok, why = self.mediator.request(*request, **more)
        self.assertFalse(ok, request)
        self.assertTrue(why)

    def test_sessions_that_are_not_there(self):
        build, session = self.verified_session()
        path = world.add_folder("path", {"a": "b"})
        before = self.snapshot()
        for number in (0, 1, session - 1, session + 1, 2**64 - 1, random.getrandbits(64)):
            self.assertFails(boundary.GRANT, number, [path])
            self.assertFails(boundary.REVEAL, number, [path])
            self.assertFails(boundary.CONDEMN, number, ["die"])
            self.assertFails(boundary.VERIFY, number)
        self.assertEqual(self.snapshot(), before)
        self.assertEqual(build.result("result = 1"), 1)

    def test_names_that_are_no_store_paths(self):
        build, session = self.verified_session()
        good = world.add_folder("good", {"a": "b"})
        before = self.snapshot()
        for name in BAD_NAMES:
            with self.subTest(name):
                self.assertFails(boundary.GRANT, session, [name])
                self.assertFails(boundary.GRANT, session, [good, name])
                self.assertFails(boundary.REVEAL, session, [good, name])
        self.assertFails(boundary.GRANT, session, [])
        self.assertEqual(self.snapshot(), before)
        view = os.path.dirname(STATE)
        self.assertEqual(build.result(f"result = os.listdir('{view}/airlock/store')"), [])
        self.assertEqual(build.result(f"result = os.listdir('{STORE}')"), [])

    def test_before_it_is_ready(self):
        self.mediator.answer = False
        path = world.add_folder("path", {"a": "b"})
        build = self.make_build()
        build.tell(do="announce", socket=RUN + "/airlock/announce", folder=build.folder,
                   derivation=build.derivation)
        session = self.mediator.take().session
        self.assertFails(boundary.GRANT, session, [path])
        ours, theirs = socket.socketpair()
        self.assertFails(boundary.VERIFY, session, fd=ours.fileno())
        ours.close()
        theirs.close()
        with self.assertRaises(FileNotFoundError):
            os.stat(f"{world.MOUNT}/{build.derivation}")
        self.mediator.channel.send(boundary.SESSION_READY, session)
        self.assertEqual(build.answer()["kind"], boundary.ANNOUNCED)
        # A second time is no news, nor is a refusal.
        self.mediator.channel.send(boundary.SESSION_READY, session, strings=["a", path])
        self.mediator.channel.send(boundary.SESSION_REFUSED, session, strings=["no"])
        build.start(view=f"{world.MOUNT}/{build.derivation}")
        channels = os.path.dirname(STATE) + "/nix/profiles/per-user/root/channels"
        self.assertEqual(build.result(f"result = os.listdir('{channels}')"), [])

    def test_search_paths_that_are_refused(self):
        good = base("good")
        for strings in (["a"], ["a", good, "b"], ["../x", good], [".x", good], ["", good],
                        ["a/b", good], ["x" * 65, good], ["a", "../../etc"], ["a\n", good],
                        ["a", good] * 300):
            with self.subTest(strings[:2]):
                self.mediator.channels = strings
                answer = self.make_build().announce(self.mediator)
                self.assertEqual(answer["kind"], boundary.REFUSED)
        self.mediator.channels = []
        self.open_session()

    def test_settings_that_are_refused(self):
        """Whatever airlockd says, nix.conf has one line a setting, and the view's own lines last."""
        for strings in (["", "cores"], ["", "Cores", "1"], ["", "include", "/etc/passwd"], ["", "", "1"],
                        ["", "cores", "1\nstore = /tmp"], ["", "cores", "1 # 2"], ["", "cores", "\x1b[2J"],
                        ["", "cores", "x" * 4097], ["", "x" * 65, "1"], ["a", "", "cores", "1"],
                        [""] + ["cores", "1"] * 129, [""] + ["cores", "x" * 4000] * 5):
            with self.subTest(strings[:3]):
                self.mediator.channels = strings
                answer = self.make_build().announce(self.mediator)
                self.assertEqual(answer["kind"], boundary.REFUSED)
        self.mediator.channels = ["", "substituters", "http://elsewhere", "cores", "a = b"]
        build, _ = self.open_session()
        conf = build.result(f"result = open('{os.path.dirname(STATE)}/airlock/nix.conf').read()")
        lines = [line for line in conf.splitlines() if not line.startswith("#")]
        self.assertEqual(lines[:2], ["substituters = http://elsewhere", "cores = a = b"])
        self.assertIn("substituters =", lines[2:])
        self.mediator.channels = []

    def test_another_session_s_sandbox(self):
        """A connection of one sandbox verifies no other session, and a grant reaches only its own."""
        one, first = self.verified_session()
        two, second = self.open_session()
        path = world.add_folder("path", {"a": "b"})
        with self.call(one, first) as accepted:
            self.assertFails(boundary.VERIFY, second, fd=accepted.fileno())
        self.assertFails(boundary.GRANT, second, [path])
        self.assertEqual(self.grant(first, path), (True, ""))
        self.assertEqual(two.result(f"result = os.listdir('{STORE}')"), [])

    def test_after_the_end(self):
        build, session = self.verified_session()
        path = world.add_folder("path", {"a": "b"})
        file = world.add_file("file", "text")
        self.mediator.request(boundary.CONDEMN, session, ["over"])
        for kind in (path, file):
            self.assertFails(boundary.GRANT, session, [kind])
        self.mediator.take_until(boundary.SESSION_ENDED, session)
        for kind in (path, file):
            self.assertFails(boundary.GRANT, session, [kind])
            self.assertFails(boundary.REVEAL, session, [kind])
        self.assertEqual(os.listdir(build.folder + STORE), [])

    def test_packets_that_are_no_messages_end_the_connection(self):
        packets = [
            b"", b"x", b"\0" * 28, boundary.encode(99), boundary.encode(0),
            boundary.encode(boundary.GRANT, 1, 1, ["x"])[:-1],
            boundary.encode(boundary.GRANT, 1, 1, ["x"]) + b"x",
            struct.pack("<IIQQI", 1, boundary.REVEAL, 1, 1, 0xffffffff),
            struct.pack("<IIQQI", 1, boundary.REVEAL, 1, 1, 1) + b"\xff\xff\xff\xff",
            struct.pack("<IIQQI", 2, boundary.REVEAL, 1, 1, 0),
            b"\x01\0\0\0" + b"\x20\0\0\0" + b"\xff" * 61440,
            boundary.encode(boundary.REVEAL, 1, 1, [base(str(i)) for i in range(1100)]),
        ]
        for packet in packets:
            with self.subTest(packet[:32]):
                build, session = self.open_session()
                self.mediator.channel.send_raw(packet)
                self.assertEqual(build.killed_by(), 9)
                self.mediators.remove(self.mediator)
                self.mediator.close()
                self.mediator = self.connect()

    def test_types_that_are_not_for_airlockd(self):
        build, session = self.verified_session()
        other = self.make_build()
        folder = os.open(other.folder, os.O_PATH)
        for kind in (boundary.ANNOUNCE, boundary.SETTLED, boundary.STATUS, boundary.ANNOUNCED,
                     boundary.DONE, boundary.SESSION_OPENED, boundary.SESSION_CLOSED,
                     boundary.SUCCEEDED):
            self.mediator.channel.send(kind, session, 0, [other.derivation], fd=folder)
        os.close(folder)
        self.assertEqual(os.listdir(world.MOUNT), [build.derivation, "var"])
        self.assertEqual(build.result("result = 1"), 1)
        self.assertTrue(self.mediator.request(boundary.REVEAL, session, [base("x")])[0])

    def lingering(self):
        """A socket whose last close waits for a peer that does not read."""
        with socket.create_server(("127.0.0.1", 0)) as server:
            ours = socket.create_connection(server.getsockname())
            self.peers.append(server.accept()[0])
        ours.setblocking(False)
        try:
            while ours.send(b"x" * 65536):
                pass
        except BlockingIOError:
            pass
        ours.setblocking(True)
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 25))
        return ours

    def send_lingering(self, *requests):
        """Requests, and with each so many descriptors, whose last close will be airlock-fs's."""
        self.fs.process.send_signal(signal.SIGSTOP)
        for count, *request in requests:
            files = [self.lingering() for _ in range(count)]
            rights = array.array("i", [file.fileno() for file in files])
            self.mediator.channel.socket.sendmsg([boundary.encode(*request)],
                                                 [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)])
            for file in files:
                file.close()
        self.fs.process.send_signal(signal.SIGCONT)
        hook = boundary.Channel(RUN + "/airlock/announce", timeout=5)
        hook.send(boundary.STATUS)
        self.assertEqual(hook.receive().kind, boundary.STATUS_IS)
        hook.close()

    def test_descriptors_that_take_long_to_close(self):
        """Whatever airlockd hands over, and whether or not that is in order, nobody waits for it."""
        self.peers = []
        build, session = self.verified_session()
        self.send_lingering((1, boundary.VERIFY, session, 1000),
                            (1, boundary.VERIFY, session + 1, 1001),
                            (1, boundary.GRANT, session, 1002, [base("x")]))
        self.assertEqual(build.result("result = 1"), 1)
        # Two are one too many; the others are still on their way when the connection is ended.
        self.send_lingering(*[(count, boundary.VERIFY, session, 1003) for count in (2, 1, 1)])
        self.assertEqual(build.killed_by(), 9)
        for peer in self.peers:
            peer.close()

    def test_floods_of_requests(self):
        """Neither many requests nor not reading the answers keep others waiting or grow memory."""
        build, session = self.verified_session()
        self.mediator.channel.socket.settimeout(5)
        sent = 0
        try:
            for number in range(100_000):
                self.mediator.channel.send(boundary.GRANT, session, 1000 + number, [base("none")])
                sent += 1
        except (TimeoutError, BrokenPipeError, ConnectionResetError):
            pass
        hook = boundary.Channel(RUN + "/airlock/announce")
        hook.send(boundary.STATUS)
        self.assertEqual(hook.receive().kind, boundary.STATUS_IS)
        hook.close()
        with open(f"/proc/{self.fs.process.pid}/statm") as file:
            resident = int(file.read().split()[1]) * 4096
        self.assertLess(resident, 512 << 20)
        self.assertEqual(build.killed_by(), 9)  # its airlockd was let go

    def test_too_many_revealed_paths(self):
        build, session = self.verified_session()
        ok = True
        for turn in range(300):
            ok, why = self.mediator.request(
                boundary.REVEAL, session, [base(f"{turn}-{i}") for i in range(1000)])
            if not ok:
                break
        self.assertFalse(ok)
        self.assertIn("too many", why)
        self.assertEqual(build.result("result = 1"), 1)

    def test_a_store_folder_that_never_answers(self):
        """A builder mounts a filesystem of its own over its store: no graft, and nobody waits. The
        kernel lets nobody from outside its user namespace into such a filesystem."""
        slow, session = self.verified_session(binds_dev_fuse=True)
        good, other = self.verified_session()
        path = world.add_folder("path", {"a": "b"})
        slow.result(f"""
kernel.become_root()
fuse = os.open("/dev/fuse", os.O_RDWR)
kept.append(fuse)
kernel.mount("hang", "{os.path.dirname(STORE)}", "fuse",
             0, f"fd={{fuse}},rootmode=40000,user_id=0,group_id=0,allow_other")
result = True
""")
        started = time.monotonic()
        self.assertFalse(self.grant(session, path)[0])
        self.assertEqual(self.grant(other, path), (True, ""))
        self.assertLess(time.monotonic() - started, 12)

    def test_a_helper_that_is_stuck_is_replaced(self):
        """And the sandbox whose graft it was pays for it, nobody else."""
        slow, session = self.verified_session()
        good, other = self.verified_session()
        path = world.add_folder("path", {"a": "b"})
        with open(f"/proc/{self.fs.process.pid}/task/{self.fs.process.pid}/children") as file:
            (helper,) = file.read().split()
        os.kill(int(helper), signal.SIGSTOP)
        ok, why = self.grant(session, path)
        self.assertFalse(ok)
        self.assertIn("in time", why)
        self.assertEqual(slow.killed_by(), 9)
        self.assertEqual(self.grant(other, path), (True, ""))
        self.assertEqual(good.result(f"result = open('{STORE}/{path}/a').read()"), "b")

    def test_a_helper_that_dies_is_replaced(self):
        build, session = self.verified_session()
        path = world.add_folder("path", {"a": "b"})
        with open(f"/proc/{self.fs.process.pid}/task/{self.fs.process.pid}/children") as file:
            (helper,) = file.read().split()
        os.kill(int(helper), signal.SIGKILL)
        time.sleep(0.2)
        self.assertEqual(self.grant(session, path), (True, ""))


if __name__ == "__main__":
    world.main()
