"""The part of scripts/bench session that grafts: real sandboxes, a stand-in for airlockd."""
import os
import statistics
import time

import world
from world import MountTest, STORE

COUNT = 1000


class Graft(MountTest):
    def test_grafts(self):
        folders = [world.add_folder(f"folder{i}", {"file": str(i)}) for i in range(COUNT)]
        files = [world.add_file(f"file{i}", str(i)) for i in range(COUNT)]
        build, session = self.verified_session()
        for what, paths in (("folders", folders), ("files", files)):
            times = []
            for path in paths:
                started = time.perf_counter()
                self.assertEqual(self.grant(session, path), (True, ""))
                times.append((time.perf_counter() - started) * 1e6)
            print(f"\ngraft, asked for and answered, {COUNT} {what}: median "
                  f"{statistics.median(times):.0f} µs, first hundred "
                  f"{statistics.median(times[:100]):.0f} µs, last hundred "
                  f"{statistics.median(times[-100:]):.0f} µs")
        self.assertEqual(build.result(f"result = open('{STORE}/{folders[-1]}/file').read()"),
                         str(COUNT - 1))


if __name__ == "__main__":
    world.main()
