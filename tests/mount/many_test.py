"""A view of 100,000 inodes costs memory, and neither descriptors nor anything that stays; and what is
granted is there at once."""
import os
import subprocess

import boundary
import world
from world import MountTest, STATE, STORE, wait_for

VIEW = os.path.dirname(STATE)
FILES, FOLDERS = 100_000, 200
MOST_BYTES_EACH = 1024
MOST_DESCRIPTORS = 128  # with a lot of sockets for sessions to come


class Many(MountTest):
    arguments = ()

    def resident(self):
        with open(f"/proc/{self.fs.process.pid}/statm") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGESIZE")

    def descriptors(self):
        return self.fs.open_files()

    def make_path(self):
        path = world.base("many")
        for folder in range(FOLDERS):
            where = f"{STORE}/{path}/folder{folder:03}"
            os.makedirs(where)
            for name in range(FILES // FOLDERS):
                with open(f"{where}/a-file-with-a-name-{name:05}", "w") as file:
                    file.write(str(name))
        world.read_only(f"{STORE}/{path}")
        return path

    def test_a_hundred_thousand_inodes(self):
        path = self.make_path()
        self.mediator.reveals = [path]
        walk = f"""
count = 0
kept.clear()
for folder, folders, files in os.walk('{VIEW}/airlock/store/{path}'):
    for name in files:
        count += os.stat(folder + '/' + name).st_nlink
    kept.append(os.open(folder, os.O_RDONLY))
result = count
"""
        first, _ = self.open_session()
        before = self.resident()
        self.assertEqual(first.result(walk), FILES)
        each = (self.resident() - before) / (FILES + FOLDERS)
        print(f"{each:.0f} bytes each of {FILES + FOLDERS} inodes, {self.descriptors()} descriptors")
        self.assertLess(self.descriptors(), MOST_DESCRIPTORS)
        self.assertLess(each, MOST_BYTES_EACH)
        # A second session has folders of its own and the same files.
        second, _ = self.open_session()
        before = self.resident()
        self.assertEqual(second.result(walk), FILES)
        more = (self.resident() - before) / (FILES + FOLDERS)
        print(f"{more:.0f} bytes more each for a second session")
        self.assertLess(more, each / 4)
        self.assertLess(self.descriptors(), MOST_DESCRIPTORS)
        # When they end, the same again fits into what was given back.
        for build in (first, second):
            build.close()
        self.mediator.take_until(boundary.SESSION_CLOSED)
        self.mediator.reveals = [path]
        before = self.resident()
        third, _ = self.open_session()
        self.assertEqual(third.result(walk), FILES)
        grown = (self.resident() - before) / (FILES + FOLDERS)
        print(f"{grown:.0f} bytes more each for a third, when the first two have ended")
        self.assertLess(grown, each / 4)

    def test_files_are_read_once_for_all_sessions(self):
        path = world.add_folder("shared", {"file": "x" * 100_000})
        self.mediator.reveals = [path]
        read = f"result = len(open('{VIEW}/airlock/store/{path}/file').read())"
        first, _ = self.open_session()
        second, _ = self.open_session()
        self.assertEqual(first.result(read), 100_000)
        # What the second reads can come from the page cache alone now.
        look = f"result = stat.S_ISREG(os.stat('{VIEW}/airlock/store/{path}/file').st_mode)"
        self.assertTrue(second.result(look))
        os.chmod(f"{STORE}/{path}/file", 0o644)
        os.truncate(f"{STORE}/{path}/file", 0)
        self.assertEqual(second.result(read), 100_000)

    def test_what_was_deleted_and_made_again_is_read_again(self):
        """Whoever has a file open, be it outside by now, keeps its pages: the path may be collected
        when the session has ended, and built again with other bytes."""
        held = []
        self.addCleanup(lambda: [os.close(fd) for fd in held])
        for text in ("one", "two"):
            folder = world.add_folder("again", {"same": text, text: "x"})
            file = world.add_file("again-file", text)
            link = world.add_symlink("again-link", text)
            self.mediator.reveals = [folder, file, link]
            build, session = self.verified_session()
            seen = build.result(f"""
os.chdir("{VIEW}/airlock/store")
result = [open("{folder}/same").read(), os.listdir("{folder}"), open("{file}").read(),
          os.readlink("{link}")]
os.chdir("/")
""")
            self.assertEqual(seen, [text, sorted(["same", text]), text, text])
            store = f"{world.MOUNT}/{build.derivation}/airlock/store"
            for path in (folder, f"{folder}/same", file, link):
                held.append(os.open(f"{store}/{path}", os.O_PATH | os.O_NOFOLLOW))
            build.finish()
            self.mediator.take_until(boundary.SESSION_ENDED, session)
            subprocess.run(["rm", "-rf", *self.mediator.reveals], cwd=STORE, check=True)

    def test_what_is_granted_is_there_at_once(self):
        """In every process that looks, also where the name was looked up in vain before."""
        build, session = self.verified_session()
        build.result("""
for number in range(3):
    mine, theirs = socket.socketpair()
    if os.fork() == 0:
        while True:
            line = theirs.recv(4096).decode()
            try:
                answer = sorted(os.listdir(line)) if line else os._exit(0)
            except OSError as error:
                answer = error.errno
            theirs.send(json.dumps(answer).encode())
    kept.append(mine)
""")
        ask = """
answers = []
for one in kept[1:]:
    one.send({path!r}.encode())
    answers.append(json.loads(one.recv(65536)))
result = answers
"""
        for number in range(20):
            path = world.add_folder(f"late{number}", {"a": "1", "b": "2"})
            for _ in range(2):
                for place in (VIEW + "/airlock/store", STORE):
                    self.assertEqual(build.result(ask.format(path=f"{place}/{path}")), [2] * 3)
            self.assertEqual(self.grant(session, path), (True, ""))
            for place in (VIEW + "/airlock/store", STORE):
                self.assertEqual(build.result(ask.format(path=f"{place}/{path}")), [["a", "b"]] * 3)
            self.assertIn(path, build.result(f"result = os.listdir('{VIEW}/airlock/store')"))


class Crowd(MountTest):
    """One sandbox has more files to look at than airlock-fs has nodes for all."""
    arguments = ("--nodes", "2000")

    def test_a_flood_leaves_room_for_others(self):
        names = [f"file{number}" for number in range(3000)]
        crowd = world.add_folder("crowd", {name: "" for name in names})
        other = world.add_folder("other", {"file": "x", **{f"file{number}": "" for number in range(50)}})
        self.mediator.reveals = [crowd, other]
        # Who floods goes on when there is room again, and comes to an end.
        look = f"""
import errno, time
left, failed, tries = {names!r}, set(), 0
while left and tries < 100:
    for name in list(left):
        try:
            os.stat('{VIEW}/airlock/store/{crowd}/' + name)
            left.remove(name)
        except OSError as error:
            failed.add(errno.errorcode[error.errno])
    tries += 1
    time.sleep(0.2)
result = [len(left), sorted(failed)]
"""
        flood, _ = self.open_session()
        bystander, _ = self.open_session()
        self.assertEqual(flood.result(look), [0, ["ENOMEM"]])
        count = f"""
import time
for _ in range(100):
    try:
        result = len([os.stat(entry.path) for entry in os.scandir('{VIEW}/airlock/store/{other}')])
        break
    except OSError:
        time.sleep(0.2)
"""
        self.assertEqual(bystander.result(count), 51)


if __name__ == "__main__":
    world.main()
