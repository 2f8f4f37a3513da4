"""Prints why tests were skipped, which failed and how each ended, and the totals of a JUnit file that ctest wrote.

Fails if a test failed.
"""

import sys
import xml.etree.ElementTree as xml

LAST_LINES = 25

passed, failed, skipped = [], [], []
for case in xml.parse(sys.argv[1]).getroot().iter("testcase"):
    name = case.get("name")
    if case.get("status") == "run":
        passed.append(name)
    elif case.get("status") == "notrun" and case.find("skipped") is not None:
        output = (case.findtext("system-out") or "").strip().splitlines()
        skipped.append(name)
        print(f"skipped {name}: {output[-1] if output else case.find('skipped').get('message')}")
    else:
        failed.append(name)
        output = (case.findtext("system-out") or "").strip().splitlines()
        print(f"failed {name}; its last lines:")
        for line in output[-LAST_LINES:]:
            print(f"  {line}")
print(f"{len(passed)} passed, {len(failed)} failed, {len(skipped)} skipped")
sys.exit(1 if failed or not passed else 0)
