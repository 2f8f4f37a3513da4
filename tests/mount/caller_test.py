"""Who is calling: members of a session's sandbox pass, everybody else fails."""
import os
import socket

import boundary
import world
from world import CONNECT, MountTest, STATE, STORE

SOCKET = os.path.dirname(STATE) + "/nix/daemon-socket/socket"

# Runs code in a child of the agent that has namespaces of its own. What the child sets as `result`
# comes back; it lives on until the sandbox ends.
NESTED = """
read_end, write_end = os.pipe()
child = os.fork()
if child == 0:
    try:
        if {flags} & kernel.CLONE_NEWUSER:
            kernel.become_root({flags})
        else:
            kernel.unshare({flags})
        if {flags} & kernel.CLONE_NEWPID and os.fork():
            time.sleep(3600)
        scope = dict(globals())
        exec({code!r}, scope)
        answer = json.dumps({{"result": scope.get("result")}})
    except BaseException:
        answer = json.dumps({{"error": traceback.format_exc()}})
    os.write(write_end, answer.encode())
    time.sleep(3600)
os.close(write_end)
answer = json.loads(os.read(read_end, 65536))
if "error" in answer:
    raise RuntimeError(answer["error"])
result = answer["result"]
"""
NESTED_FLAGS = {
    "user and mount": "kernel.CLONE_NEWUSER | kernel.CLONE_NEWNS",
    "user and pid": "kernel.CLONE_NEWUSER | kernel.CLONE_NEWPID",
    "user, mount and pid": "kernel.CLONE_NEWUSER | kernel.CLONE_NEWNS | kernel.CLONE_NEWPID",
}
CONNECT_NESTED = CONNECT.replace("kept.append(connection)", "")


class Caller(MountTest):
    def verify(self, session, accepted):
        return self.mediator.request(boundary.VERIFY, session, fd=accepted.fileno())

    def accept_from_outside(self, session, build):
        """The socket of a session, connected by this process, which is in no sandbox."""
        listening = socket.socket(fileno=os.dup(self.mediator.sessions[session]))
        outside = socket.socket(socket.AF_UNIX)
        outside.connect(f"{world.MOUNT}/{build.derivation}/nix/daemon-socket/socket")
        accepted, _ = listening.accept()
        listening.close()
        return outside, accepted

    def test_members_are_known(self):
        build, session = self.open_session()
        for seen in ("first", "later"):
            with self.call(build, session) as accepted:
                self.assertEqual(self.verify(session, accepted), (True, ""), seen)

    def test_members_in_namespaces_of_their_own_are_known(self):
        for name, flags in NESTED_FLAGS.items():
            with self.subTest(name):
                build, session = self.open_session()
                code = NESTED.format(flags=flags, code=CONNECT_NESTED)
                with self.call(build, session, code) as accepted:
                    self.assertEqual(self.verify(session, accepted), (True, ""))

    def test_a_member_that_pivoted_away_is_known(self):
        pivot = f"""
import socket
connection = socket.socket(socket.AF_UNIX)
connection.connect({SOCKET!r})
kernel.mount("tmpfs", "/tmp", "tmpfs", 0)
os.mkdir("/tmp/old")
kernel.pivot_root("/tmp", "/tmp/old")
connection.send(b"hello")
result = True
"""
        build, session = self.open_session()
        with self.call(build, session, NESTED.format(flags=NESTED_FLAGS["user and mount"],
                                                     code=pivot)) as accepted:
            self.assertEqual(self.verify(session, accepted), (True, ""))

    def test_outsiders_are_refused(self):
        build, session = self.open_session()
        outside, accepted = self.accept_from_outside(session, build)
        ok, why = self.verify(session, accepted)
        self.assertFalse(ok)
        self.assertIn("no sandbox", why)
        outside.close()
        accepted.close()

    def test_a_caller_that_is_gone_is_refused(self):
        build, session = self.open_session()
        code = f"""
child = os.fork()
if child == 0:
    connection = socket.socket(socket.AF_UNIX)
    connection.connect({SOCKET!r})
    os._exit(0)
os.waitpid(child, 0)
"""
        with self.call(build, session, code) as accepted:
            self.assertFalse(self.verify(session, accepted)[0])

    def test_another_sandbox_is_refused(self):
        """Also one that looks into this session's folder, and before and after first contact."""
        build, session = self.open_session()
        view = f"{world.MOUNT}/{build.derivation}"
        stranger = self.make_build()
        stranger.start(view=view)
        for contact in ("before", "after"):
            with self.call(stranger, session) as accepted:
                self.assertFalse(self.verify(session, accepted)[0], contact)
            if contact == "before":
                with self.call(build, session) as accepted:
                    self.assertEqual(self.verify(session, accepted), (True, ""))

    def test_a_liar_is_refused(self):
        """A sandbox that makes its root look like another build's folder, before first contact."""
        build = self.make_build()
        view = build.announce(self.mediator)["text"]
        session = max(self.mediator.sessions)
        lie = f"""
fake = "/tmp/fake{STORE}/{build.derivation}.chroot"
os.makedirs(fake)
result = fake
"""
        liar = self.make_build()
        liar.start(view=view)
        pivot = f"""
fake = {liar.result(lie)!r}
connection = socket.socket(socket.AF_UNIX)
connection.connect({SOCKET!r})
kept.append(connection)
kernel.become_root()
kernel.mount(fake, fake, None, kernel.MS_BIND)
os.mkdir(fake + "/old")
kernel.pivot_root(fake, fake + "/old")
os.chroot("/")
result = True
"""
        with self.call(liar, session, pivot) as accepted:
            ok, why = self.verify(session, accepted)
            self.assertFalse(ok)
            self.assertIn("not rooted in this build's folder", why)

    def test_what_is_no_connection_is_refused(self):
        build, session = self.open_session()
        for path in ("/", "/dev/null"):
            fd = os.open(path, os.O_RDONLY)
            self.assertFalse(self.mediator.request(boundary.VERIFY, session, fd=fd)[0])
            os.close(fd)
        self.assertFalse(self.mediator.request(boundary.VERIFY, session)[0])
        ours, theirs = socket.socketpair()
        self.assertFalse(self.verify(session, ours)[0])
        ours.close()
        theirs.close()

    def test_another_user_of_the_host_cannot_reach_the_socket(self):
        build, session = self.open_session()
        child = os.fork()
        if child == 0:
            os.setgid(world.OTHER_UID)
            os.setuid(world.OTHER_UID)
            try:
                socket.socket(socket.AF_UNIX).connect(
                    f"{world.MOUNT}/{build.derivation}/nix/daemon-socket/socket")
                os._exit(0)
            except PermissionError:
                os._exit(13)
        _, status = os.waitpid(child, 0)
        self.assertEqual(os.waitstatus_to_exitcode(status), 13)


class CallerWithoutPeerPidfd(Caller):
    """As on Linux before 6.5."""
    arguments = ("--without", "peerpidfd")


if __name__ == "__main__":
    world.main()
