"""The part of scripts/bench view that runs in namespaces of its own: a store on disk, a real airlock-fs, a
sandbox with a graft, and the other filesystems over the same store."""
import os
import subprocess

import kernel
import world
from world import MountTest, STATE, STORE, TOP

BENCH, ROUNDS = os.environ["AIRLOCK_BENCH"], int(os.environ["AIRLOCK_BENCH_ROUNDS"])
FOLDERS, FILES, SIZE, BIG = 400, 50, 4000, 1 << 30
PATH = world.base("tree")
# (name, what workload does, on what, the caches dropped before it, aim relative to native)
CASES = [
    ("walk, fresh", "walk", "tree", 2, 3.0),
    ("walk, warm", "walk", "tree", 0, 1.05),
    ("small files, first", "read", "tree", 3, 4.0),
    ("small files, second", "read", "tree", 0, 1.3),
    ("1 GiB, first", "cat", "big", 3, None),
    ("1 GiB, again", "cat", "big", 0, None),
    ("exec, 200 times", "exec", "workload", 0, 1.05),
]


def drop_caches(what):
    if not what:
        return
    os.sync()
    with open("/proc/sys/vm/drop_caches", "w") as file:
        file.write(str(what))


def fill(store):
    folder = f"{store}/{PATH}"
    for number in range(FOLDERS):
        os.makedirs(f"{folder}/tree/folder{number}")
        for name in range(FILES):
            with open(f"{folder}/tree/folder{number}/file{name}", "wb") as file:
                file.write(os.urandom(SIZE))
    with open(folder + "/big", "wb") as file:
        for _ in range(BIG >> 20):
            file.write(os.urandom(1 << 20))
    subprocess.run(["cp", BENCH + "/workload", folder], check=True)
    world.read_only(folder)


class View(MountTest):
    def mount_others(self):
        self.others = []
        for name, command in (("bindfs", ["bindfs", "-o", "ro", STORE]),
                              ("disorderfs", ["disorderfs", "--quiet", STORE])):
            place = f"{TOP}/{name}"
            os.makedirs(place, exist_ok=True)
            subprocess.run(command + [place], check=True, stdout=subprocess.DEVNULL)
            self.others.append(place)
            yield name, f"{place}/{PATH}"

    def measure(self, doing, folder, what):
        # The copy outside: what runs is measured, not what measures.
        said = subprocess.run([BENCH + "/workload", doing, f"{folder}/{what}"], check=True,
                              capture_output=True, text=True).stdout
        return int(said) / 1e6

    def test_side_by_side(self):
        os.mkdir(BENCH + "/store")
        os.chmod(BENCH + "/store", 0o1775)
        fill(BENCH + "/store")
        kernel.mount(f"{BENCH}/store", STORE, None, kernel.MS_BIND)
        self.addCleanup(kernel.umount, STORE, kernel.MNT_DETACH)
        self.restart()
        build, session = self.verified_session()
        self.assertEqual(self.grant(session, PATH), (True, ""))
        places = {"native": f"{STORE}/{PATH}",
                  "graft": f"/proc/{build.pid}/root{STORE}/{PATH}",
                  "view": f"/proc/{build.pid}/root{os.path.dirname(STATE)}/airlock/store/{PATH}",
                  **dict(self.mount_others())}
        times = {(case[0], name): [] for case in CASES for name in places}
        names = list(places)
        for number in range(ROUNDS):
            # Each goes first once: what the one before has left in the machine's caches helps, or is in the way.
            for name in names[number % len(names):] + names[:number % len(names)]:
                folder = places[name]
                for case, doing, what, dropped, _ in CASES:
                    drop_caches(dropped)
                    if case.endswith("warm"):
                        self.measure(doing, folder, what)
                    times[case, name].append(self.measure(doing, folder, what))
        for place in self.others:
            subprocess.run(["fusermount3", "-u", "-z", place], check=True)
        self.show(places, times)

    def restart(self):
        """The store's folder is another one now."""
        self.mediators.remove(self.mediator)
        self.mediator.close()
        self.fs.stop()
        self.fs = world.AirlockFs(*self.arguments)
        self.mediator = self.connect()

    def show(self, places, times):
        print(f"\n{FOLDERS * FILES} files of {SIZE} bytes in {FOLDERS} folders; best of {ROUNDS} rounds, in turns; "
              "ms, and relative to native")
        print(f"{'':>20} " + " ".join(f"{name:>17}" for name in places) + "   aim")
        for case, _, _, _, aim in CASES:
            native = min(times[case, "native"])
            row = []
            for name in places:
                best = min(times[case, name])
                row.append(f"{best:>9.1f} ({best / native:>5.2f})")
            print(f"{case:>20} " + " ".join(row) + (f"   {aim}" if aim else ""))
        for case in ("small files, first", "small files, second"):
            ratio = min(times[case, "bindfs"]) / min(times[case, "view"])
            print(f"{case}: the view is {ratio:.1f} times faster than bindfs (aim 5)")


if __name__ == "__main__":
    world.main()
