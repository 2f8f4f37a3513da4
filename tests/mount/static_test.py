"""Static mode: one folder for all sandboxes, and the view is chosen by who asks."""
import os
import socket
import threading
import time

import boundary
import kernel
import world
from caller_test import NESTED, NESTED_FLAGS
from world import CONNECT, MountTest, RUN, STATE, STORE, base, wait_for

VIEW = os.path.dirname(STATE)
VAR = world.MOUNT + "/var"
WHOSE = f"result = json.load(open('{VIEW}/airlock/session.json'))['derivation']"
LIST = f"result = os.listdir('{VIEW}')"

# A listing by system calls alone: what each of them answered, the last one included.
RAW_LIST = f"""
def names(answer):
    at, found = 0, []
    while at < len(answer):
        length = int.from_bytes(answer[at + 16:at + 18], "little")
        found.append(answer[at + 19:at + length].split(bytes(1))[0].decode())
        at += length
    return found
GETDENTS64 = {{"x86_64": 217, "aarch64": 61}}[os.uname().machine]
folder, buffer, result = os.open('{VIEW}', os.O_RDONLY | os.O_DIRECTORY), ctypes.create_string_buffer(4096), []
while True:
    size = kernel.libc.syscall(GETDENTS64, folder, buffer, len(buffer))
    if size <= 0:
        result = [[name for name in result if name != '.'], size]
        break
    result += names(buffer.raw[:size])
os.close(folder)
"""

# A nested user namespace whose root is a folder of the build's own; {view} is bound into it.
PIVOT = """
os.makedirs(fake + {view!r}, exist_ok=True)
kernel.become_root()
kernel.mount(fake, fake, None, kernel.MS_BIND | kernel.MS_REC)
kernel.mount({view!r}, fake + {view!r}, None, kernel.MS_BIND | kernel.MS_REC)
os.mkdir(fake + "/old")
kernel.pivot_root(fake, fake + "/old")
os.chroot("/")
os.chdir("/")
"""


class Desk:
    """An airlockd that answers by itself, from a thread: in static mode nobody announces."""

    def __init__(self, mediator):
        self.mediator = mediator
        self.asks = lambda derivation: True
        self.reveals = {}  # derivation -> base names
        self.delay = {}
        self.opened = []
        self.failed = None
        self.lock = threading.Lock()
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        channel = self.mediator.channel
        channel.socket.settimeout(None)
        number = 1 << 32
        while True:
            try:
                message = channel.receive()
            except OSError:
                return
            if message is None:
                return
            if message.kind == boundary.SESSION_OPENED:
                derivation = message.strings[0]
                self.mediator.sessions[message.session] = message.fd
                self.opened.append(derivation)
                answer = threading.Thread(target=self.answer, args=(message.session, derivation))
                answer.start()
            elif message.kind in (boundary.SUCCEEDED, boundary.FAILED):
                self.mediator.events.append((message.kind, message.request))
            else:
                self.mediator.events.append((message.kind, message.session))

    def answer(self, session, derivation):
        time.sleep(self.delay.get(derivation, 0))
        with self.lock:
            channel = self.mediator.channel
            if not self.asks(derivation):
                channel.send(boundary.SESSION_REFUSED, session)
                return
            if self.failed:
                channel.send(boundary.SESSION_REFUSED, session, strings=[self.failed])
                return
            if self.reveals.get(derivation):
                channel.send(boundary.REVEAL, session, 7, self.reveals[derivation])
            channel.send(boundary.SESSION_READY, session)


class Static(MountTest):
    def setUp(self):
        super().setUp()
        self.desk = Desk(self.mediator)

    def stop(self):
        for build in self.builds:
            build.close()
        self.builds = []
        self.mediator.channel.socket.shutdown(socket.SHUT_RDWR)
        self.desk.thread.join(10)
        super().stop()

    def start_build(self, name="outer.drv", view=VAR, **options):
        nested = options.pop("nested_root", False)
        build = self.make_build(base(name, len(self.builds)), nested_root=nested)
        build.start(view=view, **options)
        return build

    def assertIsItself(self, build, code=WHOSE):
        self.assertEqual(build.result(code), f"{STORE}/{build.derivation}")

    def test_a_build_finds_its_own_session(self):
        for nested in (False, True):
            with self.subTest(nested_root=nested):
                build = self.start_build(nested_root=nested)
                self.assertEqual(build.result(LIST), ["airlock", "nix"])
                self.assertIsItself(build)
                self.assertEqual(self.desk.opened.count(build.derivation), 1)

    def test_many_at_once_each_its_own(self):
        """And again and again, so that one's answer is never the kernel's answer to another."""
        paths, builds = {}, []
        for index in range(4):
            path = world.add_folder(f"folder{index}", {"file": str(index)})
            build = self.start_build()
            self.desk.reveals[build.derivation] = [path]
            paths[build] = path
            builds.append(build)
        look = f"""
seen = set()
for _ in range(200):
    store = "{VIEW}/airlock/store"
    names = tuple(os.listdir(store))
    whose = json.load(open("{VIEW}/airlock/session.json"))["derivation"]
    os.stat("{VIEW}/nix/daemon-socket/socket")
    seen.add((whose, names, open(store + "/" + names[0] + "/file").read()))
result = list(seen)
"""
        for build in builds:
            build.tell(do="agent", code=look)
        for index, build in enumerate(builds):
            self.assertEqual(build.answer(), {"result": [
                [f"{STORE}/{build.derivation}", [paths[build]], str(index)]]})

    def test_who_does_not_ask_finds_an_empty_folder(self):
        self.desk.asks = lambda derivation: "quiet" not in derivation
        quiet, other = self.start_build("quiet.drv"), self.start_build("other.drv")
        for _ in range(3):
            self.assertEqual(quiet.result(LIST), [])
            for name in ("nix", "airlock", "airlock/session.json", "nix/daemon-socket/socket"):
                self.assertEqual(quiet.run(f"os.stat('{VIEW}/{name}')")["errno"], "ENOENT")
            self.assertIsItself(other)
        self.assertEqual(self.desk.opened.count(quiet.derivation), 1)
        self.assertEqual(quiet.result("result = 'alive'"), "alive")

    def test_who_is_no_build_finds_an_empty_folder(self):
        build = self.start_build()
        self.assertIsItself(build)
        self.assertEqual(os.listdir(VAR), [])
        self.assertFalse(os.path.exists(VAR + "/nix"))
        # A sandbox that is not rooted in a folder of a derivation's.
        stranger = self.make_build(base("stranger.drv"))
        os.rename(stranger.folder, os.path.join(STORE, "elsewhere"))
        stranger.folder = os.path.join(STORE, "elsewhere")
        stranger.start(view=VAR)
        self.assertEqual(stranger.result(LIST), [])
        self.assertIsItself(build)

    def test_a_refusal_ends_the_build(self):
        self.desk.failed = "it is too deep"
        build = self.start_build()
        build.tell(do="agent", code=LIST)
        self.assertEqual(build.answer(), {"gone": True})
        self.assertEqual(build.killed_by(), 9)
        self.assertIn("airlock: it is too deep", build.log())

    def test_nested_and_pivoted_callers_keep_their_session(self):
        """Before first contact and after."""
        for contact in ("before", "after"):
            for name, flags in NESTED_FLAGS.items():
                with self.subTest(contact=contact, namespaces=name):
                    build = self.start_build()
                    if contact == "after":
                        self.assertIsItself(build)
                    self.assertIsItself(build, NESTED.format(flags=flags, code=WHOSE))
                    self.assertIsItself(build)

    def test_a_name_that_spells_another_derivation(self):
        """By a process in namespaces of its own, before and after first contact."""
        victim = self.start_build("victim.drv")
        self.assertIsItself(victim)
        for contact in ("before", "after"):
            for tail in ("", "/root"):
                with self.subTest(contact=contact, tail=tail):
                    liar = self.start_build("liar.drv")
                    if contact == "after":
                        self.assertIsItself(liar)
                    fake = f"/tmp/fake{STORE}/{victim.derivation}.chroot{tail}"
                    code = f"""
fake = {fake!r}
os.makedirs(fake)
child = os.fork()
read_end, write_end = os.pipe()
"""
                    inner = f"fake = {fake!r}\n" + PIVOT.format(view=VIEW) + "\n" + WHOSE
                    code = NESTED.format(flags="0", code=inner)
                    self.assertIsItself(liar, code)

    def test_the_first_process_spells_another_derivation(self):
        """The same pivot by the sandbox's first process, before first contact: it gets nothing."""
        victim = self.start_build("victim.drv")
        self.assertIsItself(victim)
        for tail in ("", "/root"):
            liar = self.start_build("liar.drv")
            fake = f"/tmp/fake{STORE}/{victim.derivation}.chroot{tail}"
            pivot = f"fake = {fake!r}\n" + PIVOT.format(view=VIEW) + "\n" + LIST
            self.assertEqual(liar.result(pivot), [])
            self.assertEqual(liar.run(WHOSE)["errno"], "ENOENT")
        # After first contact it stays what it was.
        honest = self.start_build("honest.drv")
        self.assertIsItself(honest)
        fake = f"/tmp/fake{STORE}/{victim.derivation}.chroot"
        self.assertIsItself(honest, f"fake = {fake!r}\n" + PIVOT.format(view=VIEW) + "\n" + WHOSE)
        self.assertIsItself(victim)

    def test_chroot_before_first_contact_gets_nothing(self):
        liar = self.start_build("liar.drv")
        code = f"""
fake = "/tmp/fake{STORE}/{base('victim.drv', 77)}.chroot"
os.makedirs(fake + {VIEW!r})
kernel.become_root()
kernel.mount({VIEW!r}, fake + {VIEW!r}, None, kernel.MS_BIND | kernel.MS_REC)
os.chroot(fake)
""" + LIST
        self.assertEqual(liar.result(code), [])

    def test_environment_and_arguments_say_nothing(self):
        victim, liar = self.start_build("victim.drv"), self.start_build("liar.drv")
        self.assertIsItself(victim)
        code = f"""
for name in ("NIX_BUILD_TOP", "out", "name", "DRV_PATH", "PWD"):
    os.environ[name] = "{STORE}/{victim.derivation}"
kernel.libc.prctl(15, b"{victim.derivation[:14]}", 0, 0, 0)
os.makedirs("/tmp{STORE}/{victim.derivation}.chroot")
os.chdir("/tmp{STORE}/{victim.derivation}.chroot")
"""
        self.assertIsItself(liar, code + WHOSE)

    def test_a_number_that_is_used_again(self):
        """The caller is killed while it asks, and its number goes to a process of another build."""
        victim, liar = self.start_build("victim.drv"), self.start_build("liar.drv")
        for build in (victim, liar):
            self.assertIsItself(build)
        os.kill(self.fs.process.pid, 19)
        try:
            # A thread that still runs would take the request, and then the kernel waits for its answer.
            wait_for(lambda: self.is_stopped(self.fs.process.pid), 10, "airlock-fs to be stopped")
            child = liar.result(f"""
child = os.fork()
if child == 0:
    os.listdir({VIEW!r})
    os._exit(0)
result = child
""")
            number = self.host_number(liar, child)
            wait_for(lambda: self.waits_in_kernel(number), 10, "the caller to ask")
            liar.tell(do="agent", code=f"os.kill({child}, 9); os.waitpid({child}, 0); result = 1")
            wait_for(lambda: not os.path.exists(f"/proc/{number}"), 10, "the caller to be gone")
            liar.answer()
            with open("/proc/sys/kernel/ns_last_pid", "w") as file:
                file.write(str(number - 1))
            ask = f"""
read_end, write_end = os.pipe()
child = os.fork()
if child == 0:
    whose = json.load(open('{VIEW}/airlock/session.json'))['derivation']
    os.write(write_end, whose.encode())
    os._exit(0)
os.waitpid(child, 0)
result = os.read(read_end, 4096).decode()
"""
            victim.tell(do="agent", code=ask)
            wait_for(lambda: os.path.exists(f"/proc/{number}"), 10, "the number to be used again")
            self.assertIn(number, self.children(victim.pid))
        finally:
            os.kill(self.fs.process.pid, 18)
        self.assertEqual(victim.answer(), {"result": f"{STORE}/{victim.derivation}"})

    def test_a_namespace_number_that_is_used_again(self):
        """What is said late about a sandbox that is gone must not be said to the next one."""
        self.desk.asks = lambda derivation: "quiet" not in derivation
        for turn in range(20):
            asking = self.make_build(base(f"asking{turn}.drv"))
            self.desk.delay[asking.derivation] = 0.3
            quiet = self.start_build(f"quiet{turn}.drv")
            self.assertEqual(quiet.run(f"os.stat('{VIEW}/airlock')").get("errno"), "ENOENT")
            quiet.close()
            time.sleep(0.003 * turn)  # for the kernel to give the number back
            asking.start(view=VAR)
            self.assertIsItself(asking)
            asking.close()
            self.builds.remove(quiet)

    def children(self, pid):
        with open(f"/proc/{pid}/task/{pid}/children") as file:
            return [int(word) for word in file.read().split()]

    def host_number(self, build, inside):
        for child in self.children(build.pid):
            with open(f"/proc/{child}/status") as file:
                numbers = [l for l in file if l.startswith("NSpid:")][0].split()[1:]
            if int(numbers[-1]) == inside:
                return child
        raise AssertionError("the child is not there")

    def is_stopped(self, pid):
        for task in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{task}/stat") as file:
                if file.read().rpartition(")")[2].split()[0] != "T":
                    return False
        return True

    def waits_in_kernel(self, pid):
        with open(f"/proc/{pid}/wchan") as file:
            return "fuse" in file.read() or "request_wait" in open(f"/proc/{pid}/stack").read()

    def test_threads_are_callers_too(self):
        build = self.start_build()
        code = f"""
import threading
seen = []
def ask():
    seen.append(json.load(open('{VIEW}/airlock/session.json'))['derivation'])
threads = [threading.Thread(target=ask) for _ in range(8)]
[t.start() for t in threads]
[t.join() for t in threads]
result = seen
"""
        self.assertEqual(build.result(code), [f"{STORE}/{build.derivation}"] * 8)
        self.assertEqual(self.desk.opened, [build.derivation])

    def test_folders_held_open_survive_the_other_builds(self):
        first, second = self.start_build(), self.start_build()
        hold = f"""
os.chdir("{VIEW}/airlock")
kept.append(os.open("{VIEW}/nix", os.O_RDONLY | os.O_DIRECTORY))
kept.append(open("{VIEW}/airlock/session.json"))
result = True
"""
        for build in (first, second):
            build.result(hold)
        for _ in range(3):
            for build in (first, second):
                self.assertIsItself(build)
                self.assertIsItself(build, "kept[-1].seek(0); result = "
                                           "json.load(kept[-1])['derivation']")
                self.assertIsItself(build, "result = json.load(open('session.json'))['derivation']")
                self.assertEqual(build.result("result = sorted(os.listdir(kept[-2]))"), [
                    "daemon-socket", "db", "gcroots", "profiles", "temproots"])
                self.assertTrue(build.result(
                    f"os.chdir('{VIEW}'); os.chdir('airlock'); result = os.getcwd() == "
                    f"'{VIEW}/airlock' and sorted(os.listdir('..')) == ['airlock', 'nix']"))

    def test_the_socket_is_the_sessions(self):
        first, second = self.start_build(), self.start_build()
        for build in (first, second):
            self.assertIsItself(build)
        by_name = dict(zip(self.desk.opened, list(self.mediator.sessions)))
        for build in (first, second, first):
            session = by_name[build.derivation]
            self.mediator.channel.socket.settimeout(None)
            with self.call(build, session) as accepted:
                self.assertEqual(accepted.recv(5), b"hello")
                with self.desk.lock:
                    self.mediator.channel.send(boundary.VERIFY, session, 4242,
                                               fd=accepted.fileno())
                wait_for(lambda: (boundary.SUCCEEDED, 4242) in self.mediator.events, 10,
                         "the caller to be verified")
                self.mediator.events.clear()

    def test_a_listing_ends_for_everyone_as_it_should(self):
        """Also for who reads it by system calls; and nobody gets what another was told."""
        self.desk.asks = lambda derivation: "quiet" not in derivation
        quiet, one, other = (self.start_build(name) for name in ("quiet.drv", "one.drv", "other.drv"))
        for _ in range(3):
            self.assertEqual(quiet.result(RAW_LIST), [[], 0])
            for build in (one, other):
                self.assertEqual(build.result(RAW_LIST), [["airlock", "nix"], 0])
                self.assertEqual(build.result(LIST), ["airlock", "nix"])
            self.assertEqual(os.listdir(VAR), [])

    def test_a_slow_listing_waits_for_the_answer(self):
        """Also one by system calls, which asks nothing before: it may hold up others for a moment only."""
        self.desk.asks = lambda derivation: "quiet" not in derivation
        for name, expected in (("slow.drv", ["airlock", "nix"]), ("quiet.drv", [])):
            slow, other = self.start_build(name), self.start_build("other.drv")
            self.desk.delay[slow.derivation] = 4
            slow.tell(do="agent", code=RAW_LIST)
            wait_for(lambda: slow.derivation in self.desk.opened, 10, "it to be opened")
            self.assertEqual(other.run(f"os.mkdir('{VIEW}/new')")["errno"], "EROFS")
            self.assertIsItself(other)
            self.assertFalse(world.select_readable(slow.process.stdout), "it did not wait")
            self.assertEqual(slow.answer(), {"result": [expected, 0]})

    def test_a_slow_first_contact_keeps_nobody_else_waiting(self):
        """Whatever call it makes; those that lock the folder, or the name in it, included."""
        calls = {
            "list": (LIST, {"result": ["airlock", "nix"]}),
            "stat": (f"result = stat.S_ISDIR(os.stat('{VIEW}/nix').st_mode)", {"result": True}),
            "open": (WHOSE, None),
            "access": (f"result = os.access('{VIEW}/nix', os.R_OK)", {"result": True}),
            "mkdir": (f"os.mkdir('{VIEW}/nix/new')", "EROFS"),
            "chdir": (f"os.chdir('{VIEW}/nix'); result = os.listdir('.')[0]",
                      {"result": "daemon-socket"}),
        }
        for name, (code, expected) in calls.items():
            with self.subTest(name):
                slow = self.start_build(f"slow-{name}.drv")
                quick, known = self.start_build("quick.drv"), self.start_build("known.drv")
                self.assertIsItself(known)
                self.desk.delay[slow.derivation] = 4
                slow.tell(do="agent", code=code)
                wait_for(lambda: slow.derivation in self.desk.opened, 10, "it to be opened")
                for _ in range(20):
                    self.assertIsItself(quick)
                    self.assertIsItself(known)
                    self.assertEqual(quick.run(f"os.mkdir('{VIEW}/new')")["errno"], "EROFS")
                self.assertFalse(world.select_readable(slow.process.stdout), "it did not wait")
                answer = slow.answer()
                if expected == "EROFS":
                    self.assertEqual(answer.get("errno"), "EROFS")
                else:
                    self.assertEqual(answer, expected or {"result": f"{STORE}/{slow.derivation}"})

    def test_a_slow_refusal_was_never_there(self):
        self.desk.asks = lambda derivation: False
        for code in (f"os.stat('{VIEW}/nix')", f"os.listdir('{VIEW}/nix')",
                     f"os.access('{VIEW}/nix', os.R_OK) or os.stat('{VIEW}/nix')",
                     f"os.chdir('{VIEW}/nix')", WHOSE):
            build = self.start_build()
            self.desk.delay[build.derivation] = 0.5
            self.assertEqual(build.run(code).get("errno"), "ENOENT", code)
            self.assertEqual(build.result(LIST), [])

    def test_a_flood_keeps_nobody_else_waiting(self):
        flooding, other = self.start_build(), self.start_build()
        self.assertIsItself(flooding)
        flooding.result(f"""
for _ in range(64):
    if os.fork() == 0:
        while True:
            try:
                os.stat("{VIEW}/nix/none")
                os.listdir("{VIEW}")
            except OSError:
                pass
result = True
""")
        for _ in range(50):
            self.assertIsItself(other)
            self.assertEqual(other.result(LIST), ["airlock", "nix"])

    def test_without_airlockd_a_build_waits_and_is_ended(self):
        self.mediator.channel.socket.shutdown(socket.SHUT_RDWR)
        self.desk.thread.join(10)
        wait_for(lambda: "airlockd is gone" in self.fs.log(), 10, "airlockd to be gone")
        early, late = self.start_build(), None
        early.tell(do="agent", code=LIST)
        time.sleep(0.3)
        self.mediators.remove(self.mediator)
        self.mediator.close()
        self.mediator = self.connect()
        self.desk = Desk(self.mediator)
        self.assertEqual(early.answer(), {"result": ["airlock", "nix"]})
        self.mediator.channel.socket.shutdown(socket.SHUT_RDWR)
        self.desk.thread.join(10)
        late = self.start_build()
        late.tell(do="agent", code=LIST)
        self.assertEqual(late.answer(), {"gone": True})
        self.assertEqual(late.killed_by(), 9)
        self.assertIn("start airlockd", late.log())

    def test_without_airlockd_everyone_may_look_at_the_folder(self):
        """What is said of it is the same for all: a build that wants no more than that goes on."""
        self.mediator.channel.socket.shutdown(socket.SHUT_RDWR)
        self.desk.thread.join(10)
        wait_for(lambda: "airlockd is gone" in self.fs.log(), 10, "airlockd to be gone")
        outside, inside = self.start_build(), self.start_build()
        outside.tell(do="agent", code=f"result = stat.S_ISDIR(os.stat('{VIEW}').st_mode)")
        # Who looks into it is ended as ever, also when others only look at it meanwhile.
        inside.tell(do="agent", code=f"""
if os.fork() == 0:
    os.stat('{VIEW}')
    os._exit(0)
time.sleep(0.5)
os.listdir('{VIEW}')
""")
        self.assertEqual(outside.answer(), {"result": True})
        self.assertEqual(inside.answer(), {"gone": True})
        self.assertEqual(inside.killed_by(), 9)
        self.assertIn("start airlockd", inside.log())
        self.assertEqual(outside.result("result = 1"), 1)
        time.sleep(1.5)
        # It has as long as ever for airlockd to come.
        outside.tell(do="agent", code=LIST)
        time.sleep(0.5)
        self.mediators.remove(self.mediator)
        self.mediator.close()
        self.mediator = self.connect()
        self.desk = Desk(self.mediator)
        self.assertEqual(outside.answer(), {"result": ["airlock", "nix"]})

    def test_a_build_whose_worker_is_gone_is_ended(self):
        """Also when it looks for the first time after that: nobody would ever settle its session."""
        build = self.start_build()
        build.tell(do="agent", code=f"""
open("/tmp/started", "w").close()
time.sleep(0.5)
os.listdir("{VIEW}")
time.sleep(60)
""")
        wait_for(lambda: os.path.exists(build.folder + "/tmp/started"), 10, "the builder")
        build.kill_worker()
        wait_for(lambda: not world.runs(build.pid), 20, "the build's end")
        self.assertEqual(os.listdir(RUN + "/airlock/sessions"), [])
        self.assertEqual(self.desk.opened, [])

    def test_the_end_gives_everything_back(self):
        path = world.add_folder("folder", {f"file{i}": str(i) for i in range(50)})
        def held():
            return self.fs.open_files()
        counts = []
        for _ in range(4):
            build = self.start_build()
            self.desk.reveals[build.derivation] = [path]
            self.assertIsItself(build)
            build.result(f"""
for name in os.listdir("{VIEW}/airlock/store/{path}"):
    open("{VIEW}/airlock/store/{path}/" + name).read()
""")
            build.finish()
            wait_for(lambda: f"{build.derivation}: ended" in self.fs.log(), 10, "the end")
            self.assertEqual(os.listdir(world.MOUNT), ["var"])
            build.close()
            wait_for(lambda: f"{build.derivation}: closed" in self.fs.log(), 10, "the close")
            if not counts:
                time.sleep(1)  # what is opened once, and what is closed a moment later
                counts.append(held())
        wait_for(lambda: held() <= counts[0], 10, f"{counts[0]} descriptors, not {held()}")


class StaticOnAnOldKernel(Static):
    arguments = ("--without", "peerpidfd,links")


if __name__ == "__main__":
    world.main()
