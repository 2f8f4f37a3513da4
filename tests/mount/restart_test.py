"""Another airlock-fs after one that was killed or stopped: sandboxes go on, in real mounts."""
import os
import signal
import socket
import subprocess

import boundary
import world
from static_test import RAW_LIST
from world import MOUNT, RUN, STATE, STORE, SettlingTest, base, wait_for

VIEW = os.path.dirname(STATE)
RESTARTED = "airlock-fs was restarted while this build was in the airlock"


class Restart(SettlingTest):
    def lose(self, how=signal.SIGKILL):
        self.fs.stop(how)
        self.mediators.remove(self.mediator)
        self.mediator.channel.close()

    def start_again(self, **options):
        """Another airlock-fs and a connection to it; airlockd has what it had."""
        self.fs = world.AirlockFs(*self.arguments)
        self.mediator = self.connect(self.mediator, **options)

    def restart(self, how=signal.SIGKILL, **options):
        self.lose(how)
        self.start_again(**options)

    def assertCondemned(self, build, *words):
        self.assertEqual(build.killed_by(), signal.SIGKILL)
        log = build.log()
        for word in words:
            self.assertIn(word, log)

    def mounts_of(self, build):
        with open(f"/proc/{build.pid}/mountinfo") as file:
            return [line.split() for line in file if f" {VIEW} " in line]

    def assertGoesOn(self, build, session):
        """All that a session is for, and what was there before."""
        self.assertEqual(self.mediator.resumed[session], (True, ""))
        with self.call(build, session) as accepted:
            self.assertEqual(
                self.mediator.request(boundary.VERIFY, session, fd=accepted.fileno()), (True, ""))
        folder = world.add_folder("later", {"a": "b"}, seed=os.getpid() + len(os.listdir(STORE)))
        self.assertEqual(self.grant(session, folder), (True, ""))
        self.assertEqual(build.result(f"result = open('{STORE}/{folder}/a').read()"), "b")
        listing = build.result(f"result = os.listdir('{VIEW}/airlock/store')")
        self.assertIn(folder, listing)
        for path in self.mediator.reveals:
            self.assertIn(path, listing)
        self.assertEqual(build.run(f"open('{VIEW}/x', 'w')")["errno"], "EROFS")

    def check_that_it_goes_on(self, how):
        channel = world.add_folder("channel", {"default.nix": "1"})
        self.mediator.channels = ["nixpkgs", channel]
        self.mediator.reveals = [channel]
        build, session = self.verified_session()
        before = build.result(f"result = open('{VIEW}/airlock/session.json').read()")
        granted = world.add_folder("granted", {"a": "before"})
        self.assertEqual(self.grant(session, granted), (True, ""))
        self.mediator.reveals = [channel, granted]
        accepted = self.call(build, session)
        bystander = self.make_build()
        bystander.start()
        self.lose(how)
        self.assertEqual(build.run(f"os.stat('{VIEW}/airlock/none')")["errno"], "ENOTCONN")
        self.assertEqual(build.result(f"result = open('{STORE}/{granted}/a').read()"), "before")
        self.start_again()
        self.assertGoesOn(build, session)
        accepted.send(b"answer")
        self.assertEqual(build.result("result = kept[-2].recv(6).decode()"), "answer")
        accepted.close()
        self.assertEqual(
            build.result(f"result = open('{VIEW}/airlock/session.json').read()"), before)
        channels = VIEW + "/nix/profiles/per-user/root/channels"
        self.assertEqual(build.result(f"result = os.readlink('{channels}/nixpkgs')"),
                         f"{STORE}/{channel}")
        self.assertEqual(bystander.result("result = 2"), 2)
        self.assertEqual(self.mounts_of(bystander), [])
        build.finish()
        self.mediator.take_until(boundary.SESSION_ENDED, session)
        hook = boundary.Channel(RUN + "/airlock/announce")
        hook.send(boundary.SETTLED, strings=[build.derivation])
        self.assertEqual(hook.receive().kind, boundary.DONE)
        hook.close()
        self.mediator.take_until(boundary.SESSION_CLOSED, session)
        self.assertEqual(os.listdir(RUN + "/airlock/sessions"), [])

    def test_killed(self):
        self.check_that_it_goes_on(signal.SIGKILL)

    def test_stopped(self):
        self.check_that_it_goes_on(signal.SIGTERM)

    def test_again_and_again(self):
        build, session = self.verified_session()
        for how in (signal.SIGKILL, signal.SIGTERM, signal.SIGKILL):
            self.restart(how)
            self.assertGoesOn(build, session)
        # Killed before airlockd had a word about it: its sandbox still has the view before.
        self.lose()
        world.AirlockFs(*self.arguments).stop(signal.SIGKILL)
        self.start_again()
        self.assertGoesOn(build, session)

    def test_numbers_stay_unique(self):
        _, first = self.verified_session()
        self.restart()
        _, second = self.open_session()
        self.assertNotEqual(first, second)

    def test_not_started_yet(self):
        build = self.make_build()
        view = build.announce(self.mediator)["text"]
        session = max(self.mediator.sessions)
        self.restart()
        build.start(view=view)
        self.assertGoesOn(build, session)

    def test_started_before_anybody_saw_it(self):
        """What the record does not say is found out."""
        build, session = self.open_session()
        self.lose()
        name = f"{RUN}/airlock/sessions/{build.derivation}"
        with open(name) as file:
            lines = [line for line in file if line.split()[0] not in ("first", "verified")]
        with open(name, "w") as file:
            file.writelines(lines)
        self.start_again()
        self.assertGoesOn(build, session)

    def test_a_chroot_below_a_private_parent_and_no_user_namespace(self):
        one, first = self.verified_session(nested_root=True)
        two, second = self.verified_session(user_namespace=False)
        self.restart()
        self.assertGoesOn(one, first)
        self.assertGoesOn(two, second)

    def test_what_was_verified_stays_so_and_nothing_else(self):
        build, session = self.verified_session()
        silent, other = self.open_session()
        self.restart()
        folder = world.add_folder("folder", {"a": "b"})
        self.assertEqual(self.grant(session, folder), (True, ""))
        self.assertFalse(self.grant(other, folder)[0])

    def test_the_view_cannot_be_made_writable(self):
        """Not by root of a user namespace that the builder makes afterwards."""
        build, session = self.verified_session()
        self.restart()
        answer = build.result(f"""
read_end, write_end = os.pipe()
child = os.fork()
if child == 0:
    said = ""
    try:
        kernel.become_root()
        said = "inside "
        kernel.mount(None, "{VIEW}", None, kernel.MS_REMOUNT | kernel.MS_BIND)
        said += "remounted"
    except OSError as error:
        said += errno.errorcode[error.errno]
    os.write(write_end, said.encode())
    os._exit(0)
os.waitpid(child, 0)
result = os.read(read_end, 100).decode()
""")
        self.assertEqual(answer, "inside EPERM")

    def test_airlockd_does_not_know_it(self):
        build, session = self.verified_session()
        other, second = self.verified_session()
        self.restart(answer=False)
        self.mediator.channel.send(boundary.SESSION_REFUSED, session, strings=["never heard of it"])
        self.mediator.resume(second)
        self.assertCondemned(build, "never heard of it")
        self.mediator.take_until(boundary.SESSION_ENDED, session)
        self.assertGoesOn(other, second)

    def test_airlockd_does_not_come_back(self):
        build, session = self.verified_session()
        self.lose()
        self.fs = world.AirlockFs(*self.arguments)
        self.assertEqual(build.killed_by(40), signal.SIGKILL)
        self.assertIn(RESTARTED, build.log())
        self.mediator = self.connect()

    def test_airlockd_is_lost_while_it_resumes(self):
        build, session = self.verified_session()
        self.restart(answer=False)
        self.mediators.remove(self.mediator)
        self.mediator.channel.close()
        self.assertCondemned(build, "airlockd stopped")
        self.mediator = self.connect()
        self.open_session()

    def test_the_sandbox_ends_in_the_gap(self):
        build, session = self.verified_session()
        self.lose()
        build.finish()
        self.start_again()
        self.assertEqual(self.mediator.resumed, {})
        build.kill_worker()
        build.delete_folder()
        wait_for(lambda: self.settle_calls() == [f"settle --derivation {build.derivation}"], 10,
                 "it to be settled")
        wait_for(lambda: os.listdir(RUN + "/airlock/sessions") == [], 5, "the record to go")

    def test_the_worker_is_lost_in_the_gap(self):
        build, session = self.open_session()
        first = build.pid
        self.lose()
        build.kill_worker()
        self.start_again()
        self.assertEqual(self.mediator.resumed, {})
        wait_for(lambda: not os.path.exists(f"/proc/{first}") or
                 "Z" in open(f"/proc/{first}/stat").read().split(")")[1][:3], 5, "the build's end")
        build.delete_folder()
        wait_for(lambda: len(self.settle_calls()) == 1, 10, "it to be settled")

    def test_another_process_with_its_number(self):
        """A record names a process by number and start time. The one that has the number now is
        somebody else's: nothing is mounted there, nothing is ended there."""
        build, session = self.verified_session()
        foreign = self.make_build()
        foreign.start(view=MOUNT + "/var")
        self.lose()
        build.finish()
        name = f"{RUN}/airlock/sessions/{build.derivation}"
        with open(name) as file:
            text = file.read()
        (line,) = [line for line in text.splitlines() if line.startswith("first ")]
        with open(name, "w") as file:
            file.write(text.replace(line, f"first {foreign.pid} {line.split()[2]}1"))
        self.start_again()
        self.assertEqual(self.mediator.resumed, {})
        self.assertEqual(foreign.result("result = 1"), 1)
        roots = [mount[3] for mount in self.mounts_of(foreign)]
        self.assertNotIn("/" + build.derivation, roots)

    def test_something_else_at_its_place(self):
        """The first process has moved to namespaces of its own and mounted there: it is not covered,
        and the build does not go on without its view."""
        build, session = self.verified_session()
        build.result(f"""
kernel.become_root()
kernel.mount("none", "{VIEW}", "tmpfs", 0)
result = True
""")
        self.restart()
        self.assertEqual(self.mediator.resumed, {})
        self.assertCondemned(build, RESTARTED)

    def test_a_symlink_on_the_way(self):
        """The same, with names that lead elsewhere: nothing is mounted where they lead."""
        build, session = self.verified_session()
        build.result(f"""
kernel.become_root()
os.makedirs("/tmp/elsewhere/var/target")
kernel.mount("/tmp/elsewhere", "{os.path.dirname(VIEW)}", None, kernel.MS_BIND)
os.rmdir("{VIEW}/target")
os.rmdir("{VIEW}")
os.symlink("/tmp", "{VIEW}")
result = True
""")
        self.restart()
        self.assertEqual(self.mediator.resumed.get(session, (False, ""))[0], False)
        self.assertCondemned(build, RESTARTED)

    def test_static_mode(self):
        """A build that has its session, and one that has not looked yet."""
        build, session = self.in_static_mode()
        late = self.make_build()
        late.start(view=MOUNT + "/var")
        self.restart()
        self.assertGoesOn(build, session)
        late.tell(do="agent", code=f"result = sorted(os.listdir('{VIEW}'))")
        while late.derivation not in self.mediator.names.values():
            self.mediator.take()
        self.assertEqual(late.answer(), {"result": ["airlock", "nix"]})
        self.assertGoesOnNew(late)

    def in_static_mode(self):
        build = self.make_build()
        build.start(view=MOUNT + "/var")
        build.tell(do="agent", code=f"result = sorted(os.listdir('{VIEW}'))")
        while build.derivation not in self.mediator.names.values():
            self.mediator.take()
        self.assertEqual(build.answer(), {"result": ["airlock", "nix"]})
        session = max(self.mediator.sessions)
        with self.call(build, session) as accepted:
            self.assertTrue(
                self.mediator.request(boundary.VERIFY, session, fd=accepted.fileno())[0])
        return build, session

    def assertGoesOnNew(self, build):
        (session,) = [number for number, name in self.mediator.names.items()
                      if name == build.derivation]
        with self.call(build, session) as accepted:
            self.assertTrue(
                self.mediator.request(boundary.VERIFY, session, fd=accepted.fileno())[0])

    def test_static_mode_asks_while_it_is_resumed(self):
        """Who asks before airlockd has answered waits."""
        build, session = self.in_static_mode()
        self.lose()
        self.fs = world.AirlockFs(*self.arguments)
        wait_for(lambda: len(self.mounts_of(build)) == 2, 10, "the view to be back")
        build.tell(do="agent", code=f"result = sorted(os.listdir('{VIEW}'))")
        self.assertFalse(world.select_readable(build.process.stdout))
        self.mediator = self.connect()
        self.assertEqual(build.answer(), {"result": ["airlock", "nix"]})
        self.assertGoesOn(build, session)

    def test_static_mode_waits_alone(self):
        """Also who lists without a question before holds up the others for a moment only."""
        build, session = self.in_static_mode()
        self.lose()
        self.fs = world.AirlockFs(*self.arguments)
        wait_for(lambda: len(self.mounts_of(build)) == 2, 10, "the view to be back")
        build.tell(do="agent", code=RAW_LIST)
        def lists():
            with open(f"/proc/{build.pid}/stack") as file:
                return "iterate_dir" in file.read()
        wait_for(lists, 10, "it to list")
        for command in ("mkdir", "ls"):
            with subprocess.Popen([command, MOUNT + "/var/nix"], stderr=subprocess.DEVNULL) as other:
                self.assertNotEqual(other.wait(8), 0)
        self.assertFalse(world.select_readable(build.process.stdout), "it did not wait")
        self.mediator = self.connect()
        self.assertEqual(build.answer(), {"result": [["airlock", "nix"], 0]})
        self.assertGoesOn(build, session)

    # What airlockd says about sessions of a predecessor's is believed as little as ever.

    def test_before_and_beside_what_was_adopted(self):
        build, session = self.verified_session()
        other, ended = self.verified_session()
        self.lose()
        other.finish()
        self.start_again(answer=False)
        folder = world.add_folder("folder", {"a": "b"})
        ours, theirs = socket.socketpair()
        # Not adopted, or never there.
        for number in (ended, session + 1, 0, 2**64 - 1):
            for kind in (boundary.SESSION_READY, boundary.REVEAL, boundary.GRANT):
                self.assertFalse(self.mediator.request(kind, number, [folder])[0])
            self.assertFalse(self.mediator.request(boundary.VERIFY, number, fd=ours.fileno())[0])
        # Adopted, and not taken yet.
        self.assertFalse(self.mediator.request(boundary.GRANT, session, [folder])[0])
        self.assertFalse(self.mediator.request(boundary.VERIFY, session, fd=ours.fileno())[0])
        self.assertEqual(os.listdir(build.folder + STORE), [])
        self.assertEqual(len(self.mounts_of(build)), 1)
        # The messages that airlock-fs sends are not for it.
        for kind in (boundary.SESSION_RESUMED, boundary.RESUMPTION_OVER):
            self.mediator.channel.send(kind, session, strings=[build.derivation], fd=ours.fileno())
        self.assertEqual(len(self.mounts_of(build)), 1)
        self.mediator.resume(session)
        self.assertGoesOn(build, session)
        # Once is enough.
        self.assertFalse(self.mediator.request(boundary.SESSION_READY, session)[0])
        self.mediator.channel.send(boundary.SESSION_REFUSED, session, strings=["no"])
        self.assertEqual(build.result("result = 1"), 1)
        self.assertEqual(len(self.mounts_of(build)), 2)
        ours.close()
        theirs.close()

    def test_a_search_path_that_is_refused(self):
        build, session = self.verified_session()
        self.restart(answer=False)
        self.assertFalse(self.mediator.request(boundary.SESSION_READY, session,
                                               ["../x", base("x")])[0])
        self.assertEqual(build.killed_by(), signal.SIGKILL)


if __name__ == "__main__":
    world.main()
