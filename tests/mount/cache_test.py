"""What has been read once is the kernel's, whatever other sessions come; and where their sockets are from."""
import os
import select
import signal
import socket

import boundary
import world
from world import MountTest, STATE, base, wait_for

VIEW = os.path.dirname(STATE)
FILES = 200
MORE_THAN_A_LOT = 70


class Cache(MountTest):
    def stop_airlock_fs(self):
        pid = self.fs.process.pid
        os.kill(pid, signal.SIGSTOP)
        def stopped():
            with open(f"/proc/{pid}/stat") as file:
                return file.read().rpartition(")")[2].split()[0] == "T"
        wait_for(stopped, 10, "airlock-fs to stop")

    def runs_without_airlock_fs(self, build, code):
        """What the code says, or None if it needs airlock-fs."""
        try:
            self.stop_airlock_fs()
            build.tell(do="agent", code=code)
            ready = select.select([build.process.stdout], [], [], 5)[0]
        finally:
            os.kill(self.fs.process.pid, signal.SIGCONT)
        answer = build.answer()
        return answer.get("result") if ready else None

    def open_unstarted(self):
        build = self.make_build()
        answer = build.announce(self.mediator)
        self.assertEqual(answer["kind"], boundary.ANNOUNCED, answer)
        return build, max(self.mediator.sessions)

    def superblock_options(self):
        with open("/proc/self/mountinfo") as file:
            lines = [line.split() for line in file if line.split()[4] == world.MOUNT]
        return lines[-1][-1].split(",")

    def test_the_second_pass_asks_nothing(self):
        folder = world.add_folder("small", {f"folder{i % 7}/file{i}": f"text {i}" for i in range(FILES)})
        self.mediator.reveals = [folder]
        build, _ = self.open_session()
        one_pass = f"""
total = 0
for number in range({FILES}):
    # As cat does it: what Python calls open asks each time whether it is a terminal.
    file = os.open(f'{VIEW}/airlock/store/{folder}/folder{{number % 7}}/file{{number}}', os.O_RDONLY)
    os.fstat(file)
    total += os.read(file, 100) == b'text %d' % number
    os.close(file)
result = total
"""
        self.assertEqual(build.result(one_pass), FILES)
        self.open_unstarted()  # binds nothing, or what is cached would be gone
        self.assertEqual(self.runs_without_airlock_fs(build, one_pass), FILES)

    def test_the_second_walk_asks_nothing(self):
        folder = world.add_folder("tree", {f"folder{i % 7}/file{i}": f"text {i}" for i in range(FILES)})
        self.mediator.reveals = [folder]
        build, _ = self.open_session()
        walk = f"""
top = '{VIEW}/airlock/store/{folder}'
result = sum(os.lstat(f'{{top}}/{{name}}/{{file}}').st_size > 0
             for name in os.listdir(top) for file in os.listdir(f'{{top}}/{{name}}'))
"""
        self.assertEqual(build.result(walk), FILES)
        self.assertEqual(self.runs_without_airlock_fs(build, walk), FILES)

    def test_what_may_change_is_listed_anew(self):
        """The kernel keeps no listing but those of store paths, however often and by whom it is read."""
        build, session = self.verified_session()
        views = [f"{VIEW}/airlock/store", f"/proc/self/root{VIEW}/airlock/store"]
        names = []
        for number in range(3):
            for view in views * 2:
                self.assertEqual(build.result(f"result = os.listdir('{view}')"), sorted(names))
            path = world.add_folder(f"folder{number}", {"file": "text"})
            self.assertEqual(self.grant(session, path), (True, ""))
            names.append(path)
        self.assertNotIn(base("later.drv"), os.listdir(world.MOUNT))
        later, _ = self.open_session(derivation=base("later.drv"))
        self.assertIn(later.derivation, os.listdir(world.MOUNT))

    def test_sessions_beyond_a_lot_of_sockets(self):
        self.assertIn("ro", self.superblock_options())
        with self.assertRaises(FileNotFoundError):
            os.stat(f"{world.MOUNT}/sockets/{os.path.basename(STATE)}/daemon-socket")
        nodes = set()
        for _ in range(MORE_THAN_A_LOT):
            build, session = self.open_unstarted()
            path = f"{world.MOUNT}/{build.derivation}/nix/daemon-socket/socket"
            nodes.add(self.hears(session, path))
            self.assertEqual(os.listdir(os.path.dirname(path)), ["socket"])
        self.assertEqual(len(nodes), 1)  # the same number in every view, the same address
        self.assertIn("ro", self.superblock_options())
        self.assertNotIn("sockets", os.listdir(world.MOUNT))

    def hears(self, session, path):
        """Whoever connects there is heard by that session; what the client can know of the socket."""
        with socket.socket(fileno=os.dup(self.mediator.sessions[session])) as listening, \
                socket.socket(socket.AF_UNIX) as client:
            listening.settimeout(10)
            folder = os.open(os.path.dirname(path), os.O_PATH)
            client.connect(f"/proc/self/fd/{folder}/socket")
            os.close(folder)
            client.send(session.to_bytes(8, "little"))
            accepted, _ = listening.accept()
            with accepted:
                self.assertEqual(accepted.recv(8), session.to_bytes(8, "little"))
            return os.stat(path).st_ino, client.getpeername()


if __name__ == "__main__":
    world.main()
