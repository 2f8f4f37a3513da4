"""A machine for one test: its own mount and pid namespaces, a store in memory, a real airlock-fs.

run.sh starts each test file in namespaces of its own, so whatever a test leaves is gone with it; the
tests check all the same that nothing is left.
"""
import hashlib
import json
import os
import select
import shutil
import signal
import stat
import subprocess
import sys
import time
import unittest

import boundary
import kernel
from boundary import Channel

PROGRAM = os.environ.get("AIRLOCK_FS", "airlock-fs")
HERE = os.path.dirname(os.path.abspath(__file__))
TOP = "/mnt"
STORE = TOP + "/nix/store"
STATE = TOP + "/nix/var/nix"
RUN = TOP + "/run"
MOUNT = RUN + "/airlock/fs"
AIRLOCK_UID = 30100
OTHER_UID = 30200


def base(name, seed=0):
    """A store path's base name; another one for every name and seed."""
    digits = "0123456789abcdfghijklmnpqrsvwxyz"
    number = int.from_bytes(hashlib.sha256(f"{seed}{name}".encode()).digest()[:20], "big")
    text = ""
    for _ in range(32):
        text = digits[number % 32] + text
        number //= 32
    return f"{text}-{name}"


def set_up_machine():
    """Once a test file: users, and a store in memory, seen by nobody else."""
    kernel.mount(None, "/", None, kernel.MS_PRIVATE | kernel.MS_REC)
    kernel.mount("tmpfs", TOP, "tmpfs", 0, "mode=755")
    with open("/etc/passwd") as file:
        passwd = file.read()
    passwd += f"airlock:x:{AIRLOCK_UID}:{AIRLOCK_UID}::/:/bin/false\n"
    with open(TOP + "/passwd", "w") as file:
        file.write(passwd)
    kernel.mount(TOP + "/passwd", "/etc/passwd", None, kernel.MS_BIND)


def read_only(path):
    """As Nix leaves a registered path."""
    for folder, folders, files in os.walk(path, topdown=False):
        for name in files:
            full = os.path.join(folder, name)
            if not os.path.islink(full):
                os.chmod(full, 0o555 if os.stat(full).st_mode & 0o100 else 0o444)
        os.chmod(folder, 0o555)


def add_folder(name, files, seed=0):
    path = base(name, seed)
    for file, text in files.items():
        full = os.path.join(STORE, path, file)
        os.makedirs(os.path.dirname(full), exist_ok=True)
        with open(full, "w") as out:
            out.write(text)
    read_only(os.path.join(STORE, path))
    return path


def add_file(name, text, executable=False, seed=0):
    path = base(name, seed)
    with open(os.path.join(STORE, path), "w" if isinstance(text, str) else "wb") as out:
        out.write(text)
    os.chmod(os.path.join(STORE, path), 0o555 if executable else 0o444)
    return path


def add_symlink(name, target, seed=0):
    path = base(name, seed)
    os.symlink(target, os.path.join(STORE, path))
    return path


class AirlockFs:
    def __init__(self, *arguments):
        self.log_path = TOP + "/airlock-fs.log"
        self.log_file = open(self.log_path, "ab")
        self.start = os.path.getsize(self.log_path)
        self.process = subprocess.Popen(
            [PROGRAM, "--run", RUN, "--store", STORE, "--state", STATE, "--verbose", *arguments],
            stderr=self.log_file, stdin=subprocess.DEVNULL, close_fds=True)
        wait_for(lambda: "serving" in self.log() or self.process.poll() is not None, 20,
                 "airlock-fs to serve")
        if self.process.poll() is not None:
            raise RuntimeError("airlock-fs ended: " + self.log())

    def log(self):
        with open(self.log_path) as file:
            file.seek(self.start)
            return file.read()

    def open_files(self):
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    def stop(self, how=signal.SIGTERM):
        if self.process.poll() is None:
            self.process.send_signal(how)
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait(20)
                raise
        self.log_file.close()
        return self.process.returncode


def wait_for(condition, seconds, what):
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError("waited for " + what)
        time.sleep(0.01)


def runs(pid):
    """False once the process has ended, reaped or not."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


class Mediator:
    """Stands in for airlockd: connects as its user and answers sessions."""

    def __init__(self, uid=AIRLOCK_UID, answer=True):
        os.setresgid(-1, uid, 0)
        os.setresuid(-1, uid, 0)
        try:
            self.channel = Channel(RUN + "/airlockd/control")
        finally:
            os.setresuid(-1, 0, 0)
            os.setresgid(-1, 0, 0)
        self.sessions = {}   # number -> listening descriptor
        self.names = {}      # number -> derivation
        self.events = []     # (kind, number)
        self.next_request = 1
        self.channels = []
        self.reveals = []
        self.answer = answer
        self.answers = {}    # request -> (True, "") or (False, sentence)
        self.resumed = {}    # number -> what airlock-fs said to session_ready

    def take(self):
        message = self.channel.receive()
        if message is None:
            raise ConnectionError("airlock-fs closed the control connection")
        if message.kind == boundary.WELCOME:
            return self.take()
        if message.kind == boundary.SESSION_OPENED:
            self.sessions[message.session] = message.fd
            self.names[message.session] = message.strings[0]
            if self.answer:
                if self.reveals:
                    self.request(boundary.REVEAL, message.session, self.reveals)
                self.channel.send(boundary.SESSION_READY, message.session, strings=self.channels)
        elif message.kind == boundary.SESSION_RESUMED:
            self.sessions[message.session] = message.fd
            self.names[message.session] = message.strings[0]
            if self.answer:
                self.resume(message.session)
        elif message.kind in (boundary.SUCCEEDED, boundary.FAILED):
            self.answers[message.request] = (message.kind == boundary.SUCCEEDED,
                                             "".join(message.strings))
        elif message.kind < boundary.SUCCEEDED:
            self.events.append((message.kind, message.session))
        return message

    def resume(self, session):
        for path in self.reveals:
            self.request(boundary.REVEAL, session, [path])
        self.resumed[session] = self.request(boundary.SESSION_READY, session, self.channels)

    def take_until(self, kind, session=None, seconds=20):
        """Waits for a message of the kind, also one that came earlier."""
        def came():
            return any(k == kind and session in (None, s) for k, s in self.events)
        self.channel.socket.settimeout(seconds)
        while not came():
            self.take()

    def pump(self, seconds=0.3):
        """Takes whatever comes for a while."""
        self.channel.socket.settimeout(seconds)
        try:
            while True:
                self.take()
        except (TimeoutError, ConnectionError):
            pass
        finally:
            self.channel.socket.settimeout(20)

    def request(self, kind, session, strings=(), fd=None):
        """(True, "") or (False, sentence)."""
        number = self.next_request
        self.next_request += 1
        self.channel.socket.settimeout(20)
        self.channel.send(kind, session, number, strings, fd)
        # Taking may ask for something itself, and see this answer first.
        while number not in self.answers:
            self.take()
        return self.answers.pop(number)

    def close(self):
        for fd in self.sessions.values():
            os.close(fd)
        self.channel.close()


class Build:
    """A build that Nix is doing: a worker process, a chroot folder, and later a sandbox."""

    def __init__(self, derivation, nested_root=False, wrapper=()):
        self.derivation = derivation
        self.folder = os.path.join(STORE, derivation + ".chroot")
        os.mkdir(self.folder, 0o750)
        os.chown(self.folder, 0, 30000)
        if nested_root:  # Nix 2.18.4 and later
            os.chown(self.folder, 0, 0)
            os.chmod(self.folder, 0o700)
            self.folder += "/root"
            os.mkdir(self.folder, 0o750)
            os.chown(self.folder, 0, 30000)
        os.makedirs(self.folder + STORE)
        os.chmod(self.folder + STORE, 0o1775)
        os.chown(self.folder + STORE, 0, 30000)
        os.mkdir(self.folder + "/tmp")
        os.chmod(self.folder + "/tmp", 0o1777)
        self.process = subprocess.Popen([*wrapper, sys.executable, HERE + "/worker.py"],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.pid = 0

    def ask(self, **command):
        self.process.stdin.write(json.dumps(command) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError("the worker is gone")
        answer = json.loads(line)
        if "error" in answer:
            raise RuntimeError(answer["error"])
        return answer

    def tell(self, **command):
        """ask, without waiting for the answer: see answer."""
        self.process.stdin.write(json.dumps(command) + "\n")
        self.process.stdin.flush()

    def answer(self):
        return json.loads(self.process.stdout.readline())

    def announce(self, mediator, **changes):
        """The hook's answer, while the mediator answers what it is asked meanwhile."""
        command = dict(do="announce", socket=RUN + "/airlock/announce", folder=self.folder,
                       derivation=self.derivation)
        self.tell(**{**command, **changes})
        if mediator is not None:
            before = len(mediator.sessions)
            mediator.channel.socket.settimeout(0.05)
            for _ in range(60):
                try:
                    mediator.take()
                except TimeoutError:
                    if select_readable(self.process.stdout):
                        break
                if len(mediator.sessions) > before:
                    break
            mediator.channel.socket.settimeout(20)
        return self.answer()

    def start(self, view=None, inputs=(), **changes):
        """Starts the sandbox; view is the session's folder."""
        binds = [(os.path.join(STORE, path), os.path.join(STORE, path)) for path in inputs]
        if changes.pop("binds_dev_fuse", False):
            os.makedirs(TOP + "/dev", exist_ok=True)
            if not os.path.exists(TOP + "/dev/fuse"):
                os.mknod(TOP + "/dev/fuse", 0o666 | stat.S_IFCHR, os.makedev(10, 229))
                os.chmod(TOP + "/dev/fuse", 0o666)
            binds.append((TOP + "/dev", "/dev"))
        if view:
            binds.append((view, os.path.dirname(STATE)))
        answer = self.ask(do="start", root=self.folder, store=STORE, binds=binds, **changes)
        self.pid = answer["pid"]
        return self.pid

    def run(self, code):
        """Runs Python in the sandbox's first process: {"result": …} or {"errno": …}."""
        return self.ask(do="agent", code=code)

    def result(self, code):
        answer = self.run(code)
        if "result" not in answer:
            raise AssertionError(f"in the sandbox: {answer}")
        return answer["result"]

    def log(self):
        return self.ask(do="log")["text"]

    def killed_by(self, seconds=10):
        return self.ask(do="reap", seconds=seconds)["signal"]

    def finish(self):
        self.ask(do="finish")

    def delete_folder(self):
        shutil.rmtree(os.path.join(STORE, self.derivation + ".chroot"), ignore_errors=True)

    def kill_worker(self):
        self.process.kill()
        self.process.wait(20)

    def close(self):
        if self.process.poll() is None:
            self.process.stdin.close()
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait(10)
        self.process.stdout.close()
        if self.pid:
            try:
                os.kill(self.pid, signal.SIGKILL)
                # Its worker is gone, so it is ours: unreaped it would keep its pid namespace.
                os.waitpid(self.pid, 0)
            except (ProcessLookupError, ChildProcessError):
                pass
        self.delete_folder()


def select_readable(file):
    return bool(select.select([file], [], [], 0)[0])


CONNECT = f"""
import socket
connection = socket.socket(socket.AF_UNIX)
connection.connect({os.path.dirname(STATE)!r} + "/nix/daemon-socket/socket")
connection.send(b"hello")
kept.append(connection)
result = True
"""


class MountTest(unittest.TestCase):
    """One airlock-fs and one airlockd a test."""

    arguments = ()

    def setUp(self):
        # What is kept for a next airlock-fs is not meant for the next test's.
        shutil.rmtree(TOP + "/nix", ignore_errors=True)
        shutil.rmtree(RUN, ignore_errors=True)
        os.makedirs(STORE)
        os.chmod(STORE, 0o1775)
        os.makedirs(STATE)
        os.makedirs(RUN, exist_ok=True)
        self.builds = []
        self.mediators = []
        self.fs = AirlockFs(*self.arguments)
        self.addCleanup(self.stop)
        self.mediator = self.connect()

    def connect(self, before=None, **options):
        """An airlockd that has what the one before had; what is to be resumed has been named."""
        mediator = Mediator(**options)
        self.mediators.append(mediator)
        if before is not None:
            mediator.channels, mediator.reveals = before.channels, before.reveals
        mediator.take_until(boundary.RESUMPTION_OVER)
        return mediator

    def stop(self):
        for build in self.builds:
            build.close()
        for mediator in self.mediators:
            mediator.close()
        status = self.fs.stop()
        log = self.fs.log()
        if not self._outcome.success:
            print(log, file=sys.stderr)
        self.assertIn(status, (0, -signal.SIGKILL), log)
        self.assertNothingLeft()

    def assertNothingLeft(self):
        with open("/proc/self/mounts") as file:
            self.assertNotIn(MOUNT, file.read())

    def make_build(self, derivation=None, **options):
        build = Build(derivation or base("outer.drv", len(self.builds)), **options)
        self.builds.append(build)
        return build

    def open_session(self, inputs=(), nested_root=False, derivation=None, **changes):
        """An announced build with its sandbox running: (build, session number)."""
        build = self.make_build(derivation, nested_root=nested_root)
        answer = build.announce(self.mediator)
        self.assertEqual(answer["kind"], boundary.ANNOUNCED, answer)
        # Numbers grow as long as the airlock-fs is the same.
        session = max(number for number, name in self.mediator.names.items()
                      if name == build.derivation)
        build.start(view=answer["text"], inputs=inputs, **changes)
        return build, session

    def call(self, build, session, code=CONNECT):
        """Connects from the sandbox; the accepted socket."""
        import socket
        listening = socket.socket(fileno=os.dup(self.mediator.sessions[session]))
        listening.settimeout(10)
        build.result(code)
        accepted, _ = listening.accept()
        listening.close()
        return accepted

    def verified_session(self, **options):
        build, session = self.open_session(**options)
        with self.call(build, session) as accepted:
            ok, why = self.mediator.request(boundary.VERIFY, session, fd=accepted.fileno())
        self.assertTrue(ok, why)
        return build, session

    def grant(self, session, path):
        return self.mediator.request(boundary.GRANT, session, [path])

    def assertMode(self, path, mode):
        self.assertEqual(stat.S_IMODE(os.lstat(path).st_mode), mode, path)


class SettlingTest(MountTest):
    """airlock-fs starts a program to settle that only writes down how it was called."""

    def setUp(self):
        # Its own program and log: those that an earlier test's airlock-fs started may still run.
        program = f"{TOP}/settle-{self.id()}"
        self.settle_log = program + ".log"
        self.arguments = ("--settle-program", program)
        with open(program, "w") as file:
            file.write(f'#!/bin/sh\necho "$@" >> {self.settle_log}\n'
                       f'grep CapEff /proc/self/status >> {self.settle_log}.privilege\n')
        os.chmod(program, 0o755)
        open(self.settle_log, "w").close()
        super().setUp()

    def settle_calls(self):
        with open(self.settle_log) as file:
            return file.read().splitlines()


def main():
    set_up_machine()
    unittest.main(verbosity=2, warnings="ignore")
