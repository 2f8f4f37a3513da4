"""The life of a session, from the announcement to the end, in a real mount and real namespaces."""
import os
import resource
import shutil
import signal
import socket
import subprocess
import sys
import time

import boundary
import kernel
import world
from world import RUN, STORE, SettlingTest, base, wait_for


class Session(SettlingTest):
    def ask_hook(self, kind, *strings):
        hook = boundary.Channel(RUN + "/airlock/announce")
        hook.send(kind, strings=strings)
        reply = hook.receive()
        hook.close()
        return reply

    def record_names(self):
        return os.listdir(RUN + "/airlock/sessions")

    def assertCondemned(self, build, *words):
        self.assertEqual(build.killed_by(), signal.SIGKILL)
        log = build.log()
        for word in words:
            self.assertIn(word, log)

    def test_from_announcement_to_settled(self):
        inner = world.add_folder("inner", {"bin/tool": "FOO"})
        build, session = self.open_session()
        with self.call(build, session) as accepted:
            self.assertEqual(accepted.recv(5), b"hello")
            ok, why = self.mediator.request(boundary.VERIFY, session, fd=accepted.fileno())
            self.assertTrue(ok, why)
        ok, why = self.grant(session, inner)
        self.assertTrue(ok, why)
        self.assertEqual(build.result(f"result = open('{STORE}/{inner}/bin/tool').read()"), "FOO")
        self.assertEqual(self.record_names(), [build.derivation])
        build.finish()
        self.mediator.take_until(boundary.SESSION_ENDED, session)
        self.assertEqual(os.listdir(world.MOUNT), ["var"])
        self.assertEqual(self.ask_hook(boundary.SETTLED, build.derivation).kind, boundary.DONE)
        self.mediator.take_until(boundary.SESSION_SETTLED, session)
        self.mediator.take_until(boundary.SESSION_CLOSED, session)
        self.assertEqual(self.record_names(), [])
        self.assertEqual(self.settle_calls(), [])

    def test_folders_and_owners(self):
        self.assertMode(RUN + "/airlock", 0o700)
        self.assertMode(RUN + "/airlockd", 0o750)
        self.assertMode(RUN + "/airlockd/control", 0o660)
        self.assertEqual(os.stat(RUN + "/airlockd/control").st_gid, world.AIRLOCK_UID)
        roots = world.STATE + "/gcroots/airlock"
        self.assertMode(roots, 0o755)
        self.assertEqual(os.stat(roots).st_uid, world.AIRLOCK_UID)

    def test_privileges(self):
        """What fusefs/privileges.hpp says, of every thread."""
        def effective(status):
            with open(status) as file:
                (line,) = [line for line in file if line.startswith("CapEff")]
            return int(line.split()[1], 16)

        sys_chroot, sys_ptrace, sys_admin = 1 << 18, 1 << 19, 1 << 21
        dac_override, dac_read_search, fowner, kill = 1 << 1, 1 << 2, 1 << 3, 1 << 5
        pid = self.fs.process.pid
        self.open_session()
        self.assertEqual(effective(f"/proc/{pid}/status"),
                         sys_admin | sys_ptrace | dac_override | dac_read_search | kill)
        others = [task for task in os.listdir(f"/proc/{pid}/task") if task != str(pid)]
        # Four answer the kernel; a sanitizer may have a thread of its own besides.
        kept = [effective(f"/proc/{pid}/task/{task}/status") for task in others]
        self.assertEqual(kept.count(dac_read_search), 4)
        with open(f"/proc/{pid}/task/{pid}/children") as file:
            (helper,) = file.read().split()
        self.assertEqual(effective(f"/proc/{helper}/status"),
                         sys_admin | sys_chroot | sys_ptrace | dac_override | dac_read_search |
                         fowner)

    def test_the_mount_may_be_looked_at(self):
        os.stat(world.MOUNT)
        os.listdir(world.MOUNT)
        os.statvfs(world.MOUNT)
        time.sleep(2.5)  # it looks after its mount every second
        self.assertEqual(self.ask_hook(boundary.STATUS).strings, ["connected", "0"])
        self.assertNotIn("unmounted", self.fs.log())

    def test_the_view_unmounted_by_somebody_else(self):
        build, _ = self.verified_session()
        kernel.umount(world.MOUNT, kernel.MNT_DETACH)
        build.close()
        self.builds.clear()
        self.assertEqual(self.fs.process.wait(10), 1)
        self.assertIn("unmounted by somebody else", self.fs.log())
        self.fs = world.AirlockFs(*self.arguments)

    def test_a_chroot_below_a_private_parent(self):
        build, session = self.verified_session(nested_root=True)
        path = world.add_file("file", "content")
        self.assertEqual(self.grant(session, path), (True, ""))
        self.assertEqual(build.result(f"result = open('{STORE}/{path}').read()"), "content")

    def test_a_sandbox_without_a_user_namespace(self):
        build, session = self.verified_session(user_namespace=False)
        path = world.add_folder("folder", {"a": "b"})
        self.assertEqual(self.grant(session, path), (True, ""))
        self.assertEqual(build.result(f"result = open('{STORE}/{path}/a').read()"), "b")

    def test_a_build_that_never_calls_ends_too(self):
        build, session = self.open_session()
        time.sleep(0.3)  # long enough to be seen among the worker's children
        build.finish()
        self.mediator.take_until(boundary.SESSION_ENDED, session)

    def test_a_build_that_never_starts_ends_with_its_folder(self):
        build = self.make_build()
        self.assertEqual(build.announce(self.mediator)["kind"], boundary.ANNOUNCED)
        build.delete_folder()
        self.mediator.take_until(boundary.SESSION_ENDED)

    def test_a_lost_worker_is_settled_by_the_program(self):
        build, session = self.verified_session()
        build.finish()
        self.mediator.take_until(boundary.SESSION_ENDED, session)
        build.kill_worker()
        self.mediator.take_until(boundary.SESSION_CLOSED, session)
        self.assertEqual(self.settle_calls(), [f"settle --derivation {build.derivation}"])
        # It is root's again, with what root's programs need.
        with open(self.settle_log + ".privilege") as file:
            capabilities = int(file.read().split()[1], 16)
        self.assertEqual(capabilities & 0xff, 0xff)
        self.assertEqual(self.record_names(), [])

    def test_a_build_that_outlives_its_worker_is_killed(self):
        build, session = self.open_session()
        first = build.pid
        build.kill_worker()
        self.mediator.take_until(boundary.SESSION_CLOSED, session)
        wait_for(lambda: not os.path.exists(f"/proc/{first}") or
                 "Z" in open(f"/proc/{first}/stat").read().split(")")[1][:3], 5, "the build's end")
        self.assertEqual(len(self.settle_calls()), 1)

    def test_condemned_by_airlockd(self):
        build, session = self.open_session()
        self.assertEqual(self.mediator.request(boundary.CONDEMN, session, ["no \x1b[31mspace"]),
                         (True, ""))
        self.assertCondemned(build, "airlock: no ?[31mspace")
        self.mediator.take_until(boundary.SESSION_ENDED, session)

    def test_condemned_before_it_starts(self):
        build = self.make_build()
        answer = build.announce(self.mediator)
        session = max(self.mediator.sessions)
        self.mediator.request(boundary.CONDEMN, session, ["too early"])
        try:
            build.start(view=answer["text"])
        except RuntimeError:
            pass  # killed before it could say that it has started
        self.mediator.take_until(boundary.SESSION_ENDED, session)

    def test_airlockd_is_lost(self):
        build, session = self.open_session()
        self.mediator.close()
        self.mediators.clear()
        self.assertCondemned(build, "airlockd stopped while this build was in the airlock")
        self.mediator = self.connect()
        other, session = self.open_session()
        self.assertIn("result", other.run("result = 1"))

    def test_no_client_sees_airlockd_die(self):
        """The sandbox is ended before its builder could tell, however late airlock-fs learns of it."""
        build, session = self.open_session()
        accepted = self.call(build, session)
        self.assertEqual(self.mediator.request(boundary.VERIFY, session, fd=accepted.fileno()), (True, ""))
        sees = "result = select.select([kept[0]], [], [], {})[0] != []"
        # Killed, it closes one descriptor after the other, and says no word to the client.
        accepted.close()
        self.assertFalse(build.result(sees.format(0.5)), "the end was seen")
        self.mediator.close()
        self.mediators.clear()
        self.assertCondemned(build, "airlockd stopped while this build was in the airlock")

    def test_a_connection_that_airlockd_ends_is_over(self):
        """What is held of it keeps neither the client waiting nor a descriptor."""
        build, session = self.open_session()
        before = self.fs.open_files()
        for _ in range(300):
            accepted = self.call(build, session)
            self.assertEqual(accepted.recv(5), b"hello")
            self.assertEqual(self.mediator.request(boundary.VERIFY, session, fd=accepted.fileno()), (True, ""))
            accepted.shutdown(socket.SHUT_RDWR)
            accepted.close()
            self.assertEqual(build.result("result = kept.pop().recv(1).decode()"), "")
        wait_for(lambda: self.fs.open_files() <= before + 4, 10, "the descriptors of what is over")

    def test_connections_leave_descriptors_for_others(self):
        """Also where airlock-fs may have few: without them nobody could be told apart."""
        build, session = self.open_session()
        most = self.fs.open_files() + 100
        resource.prlimit(self.fs.process.pid, resource.RLIMIT_NOFILE, (most, most))
        for _ in range(120):
            with self.call(build, session) as accepted:
                mine = os.dup(accepted.fileno())
                self.addCleanup(os.close, mine)
                self.assertEqual(self.mediator.request(boundary.VERIFY, session, fd=mine), (True, ""))
        other, _ = self.verified_session()
        self.assertEqual(other.result(f"result = os.listdir('{os.path.dirname(world.STATE)}')"), ["airlock", "nix"])

    def test_airlockd_is_not_there(self):
        self.mediator.close()
        self.mediators.clear()
        wait_for(lambda: self.ask_hook(boundary.STATUS).strings[0] == "disconnected", 5, "the loss")
        answer = self.make_build().announce(None)
        self.assertEqual(answer["kind"], boundary.REFUSED)
        self.assertIn("start it (systemctl start airlockd)", answer["text"])
        self.assertEqual(self.record_names(), [])

    def test_airlockd_refuses(self):
        self.mediator.answer = False
        build = self.make_build()
        build.tell(do="announce", socket=RUN + "/airlock/announce", folder=build.folder,
                   derivation=build.derivation)
        opened = self.mediator.take()
        self.mediator.channel.send(boundary.SESSION_REFUSED, opened.session, strings=["not today"])
        self.assertEqual(build.answer(), {"kind": boundary.REFUSED, "text": "not today"})
        self.assertEqual(os.listdir(world.MOUNT), ["var"])

    def test_an_airlockd_that_says_nothing_is_not_waited_for(self):
        self.mediator.answer = False
        build = self.make_build()
        started = time.monotonic()
        build.tell(do="announce", socket=RUN + "/airlock/announce", folder=build.folder,
                   derivation=build.derivation)
        self.mediator.take()
        # Others are served meanwhile.
        self.assertEqual(self.ask_hook(boundary.STATUS).strings, ["connected", "1"])
        answer = build.answer()
        self.assertEqual(answer["kind"], boundary.REFUSED)
        self.assertIn("in time", answer["text"])
        self.assertLess(time.monotonic() - started, 15)

    def test_silent_and_broken_hooks_keep_nobody_waiting(self):
        silent = [boundary.Channel(RUN + "/airlock/announce") for _ in range(20)]
        broken = boundary.Channel(RUN + "/airlock/announce")
        broken.send_raw(b"rubbish")
        self.assertIsNone(broken.receive())
        self.open_session()
        for channel in silent + [broken]:
            channel.close()

    def test_a_second_airlockd_and_a_stranger_are_refused(self):
        second = world.Mediator()
        self.assertIsNone(second.channel.receive())
        second.close()
        for uid in (0, world.OTHER_UID):
            try:
                stranger = world.Mediator(uid=uid)
            except PermissionError:
                continue
            self.assertIsNone(stranger.channel.receive())
            stranger.close()
        self.open_session()

    def test_the_same_derivation_again(self):
        build, session = self.open_session()
        self.mediator.pump(0.1)
        shutil.move(STORE + "/" + build.derivation + ".chroot", world.TOP + "/old-chroot")
        again, newer = self.open_session(derivation=build.derivation)
        self.assertNotEqual(session, newer)
        self.assertCondemned(build, "built again")
        with self.call(again, newer) as accepted:
            ok, why = self.mediator.request(boundary.VERIFY, newer, fd=accepted.fileno())
            self.assertTrue(ok, why)
        shutil.rmtree(world.TOP + "/old-chroot", ignore_errors=True)

    def test_announcements_that_are_refused(self):
        build = self.make_build()
        elsewhere = self.make_build()
        refused = [
            dict(derivation=base("outer.drv", 99)),                 # not its folder
            dict(folder=elsewhere.folder),                          # another derivation's
            dict(folder="/"), dict(folder=STORE),
            dict(folder=build.folder + "/tmp"),
            dict(derivation=build.derivation[:-4]),                 # no derivation
            dict(derivation="../" + build.derivation),
            dict(derivation=""), dict(no_folder=True),
        ]
        for changes in refused:
            with self.subTest(changes):
                self.assertEqual(build.announce(None, **changes)["kind"], boundary.REFUSED)
        os.rename(build.folder, build.folder + ".real")
        os.symlink(build.folder + ".real", build.folder)
        self.assertEqual(build.announce(None)["kind"], boundary.REFUSED)
        os.unlink(build.folder)
        os.rename(build.folder + ".real", build.folder)
        self.assertEqual(build.announce(self.mediator)["kind"], boundary.ANNOUNCED)

    def test_a_hook_whose_worker_is_gone_is_refused(self):
        """It is a child of process 1's by then, which never ends: nor would the session."""
        build = self.make_build()
        read_end, write_end = os.pipe()
        hook = f"""
import os, sys, time
sys.path.insert(0, {world.HERE!r})
from boundary import ANNOUNCE, Channel
while os.getppid() != 1:
    time.sleep(0.01)
channel = Channel({RUN + "/airlock/announce"!r})
channel.send(ANNOUNCE, strings=[{build.derivation!r}], fd=os.open({build.folder!r}, os.O_PATH))
os.write({write_end}, channel.receive().strings[0].encode())
"""
        subprocess.run(["sh", "-c", '"$0" -c "$1" &', sys.executable, hook], check=True,
                       pass_fds=[write_end])
        os.close(write_end)
        with os.fdopen(read_end) as answer:
            self.assertIn("not started by a process that waits for it", answer.read())
        self.assertEqual(self.record_names(), [])

    def test_another_user_cannot_announce(self):
        build = self.make_build()
        answer = build.announce(None, uid=world.OTHER_UID)
        self.assertEqual(answer["kind"], -1)
        self.assertIn("Permission denied", answer["text"])
        # Also where the folder's mode does not keep it out.
        os.chmod(RUN + "/airlock", 0o755)
        os.chmod(RUN + "/airlock/announce", 0o666)
        os.chmod(build.folder, 0o755)
        answer = build.announce(None, uid=world.OTHER_UID)
        self.assertIn(answer["kind"], (0, -1))  # closed, perhaps before anything could be sent
        self.assertIn(f"uid {world.OTHER_UID} is not root", self.fs.log())

    def test_rubbish_among_the_records(self):
        self.fs.stop(signal.SIGKILL)
        with open(RUN + "/airlock/sessions/rubbish", "w") as file:
            file.write("session 1\nderivation ../../etc\n")
        self.mediators.remove(self.mediator)
        self.mediator.close()
        self.fs = world.AirlockFs(*self.arguments)
        self.assertEqual(self.record_names(), [])
        self.mediator = self.connect()
        self.open_session()

    def test_interrupted(self):
        """SIGINT is for good: nothing is left to a next one."""
        build, _ = self.verified_session()
        self.assertEqual(self.fs.stop(signal.SIGINT), 0)
        self.assertCondemned(build, "airlock-fs was stopped")
        self.assertFalse(os.path.exists(RUN + "/airlockd"))
        self.assertEqual(sorted(os.listdir(RUN + "/airlock")), ["lock", "views"])
        self.assertNothingLeft()

    def assertOneSentence(self, words, *arguments, store=STORE):
        """It does not start, says why in one line, and leaves nothing."""
        tried = subprocess.run([world.PROGRAM, "--run", RUN, "--store", store, "--state", world.STATE, *arguments],
                               stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, timeout=20)
        self.assertEqual(tried.returncode, 1, tried.stderr)
        self.assertRegex(tried.stderr, f"\\Aairlock-fs: error: [^\n]*{words}[^\n]*\n\\Z")
        self.assertNothingLeft()
        self.assertFalse(os.path.exists(RUN + "/airlockd"))
        self.assertLessEqual({*os.listdir(RUN + "/airlock")}, {"lock", "views", "sessions"})

    def test_what_is_missing_is_one_sentence(self):
        self.fs.stop()
        self.assertOneSentence("settle-program", "--settle-program", "/nowhere/airlock")
        self.assertOneSentence("store at /nowhere", store="/nowhere")
        self.assertOneSentence("--guest says", "--guest", "/nowhere")
        self.assertOneSentence("useradd", "--user", "nobody-of-that-name")
        kernel.mount(world.TOP + "/passwd", "/dev/fuse", None, kernel.MS_BIND)
        try:
            self.assertOneSentence("is /dev/fuse there")
        finally:
            kernel.umount("/dev/fuse")
        open(RUN + "/airlock/sessions", "w").close()
        self.assertOneSentence("sessions: Not a directory")
        os.unlink(RUN + "/airlock/sessions")
        kernel.mount("tmpfs", RUN, "tmpfs", 0, "size=4k")
        try:
            with open(RUN + "/all-of-it", "wb") as file:
                file.write(bytes(4096))
            self.assertOneSentence("No space left")
        finally:
            kernel.umount(RUN)

    def test_killed_while_its_helper_starts(self):
        """The helper makes its mount namespace by a process that waits to be ended by it."""
        self.fs.stop()
        def child_of(pid):
            try:
                with open(f"/proc/{pid}/task/{pid}/children") as file:
                    return int((file.read().split() or [0])[-1])
            except (FileNotFoundError, ProcessLookupError):
                return 0
        caught = 0
        for _ in range(50):
            started = subprocess.Popen([world.PROGRAM, "--run", RUN, "--store", STORE, "--state", world.STATE],
                                       stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            until = time.monotonic() + 2
            while not caught and time.monotonic() < until and started.poll() is None:
                helper = child_of(started.pid)
                caught = child_of(helper) if helper else 0
            if caught:
                try:
                    os.kill(caught, signal.SIGSTOP)
                except ProcessLookupError:
                    caught = 0
            started.kill()
            started.wait(20)
            if caught:
                wait_for(lambda: not world.runs(helper), 10, "the helper's end")
                try:
                    os.kill(caught, signal.SIGCONT)
                except ProcessLookupError:
                    pass
                wait_for(lambda: not world.runs(caught), 10, "the end of what it has started")
                break
        self.assertTrue(caught)
        self.fs = world.AirlockFs(*self.arguments)

    def test_only_one_at_a_time(self):
        with self.assertRaisesRegex(RuntimeError, "another airlock-fs is running"):
            world.AirlockFs(*self.arguments)
        self.open_session()


if __name__ == "__main__":
    world.main()
