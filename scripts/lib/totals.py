"""Prints why tests were skipped, which failed, and the totals of a JUnit file that ctest wrote. Fails if a test failed."""

import sys
import xml.etree.ElementTree as xml

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
        print(f"failed {name}")
print(f"{len(passed)} passed, {len(failed)} failed, {len(skipped)} skipped")
sys.exit(1 if failed or not passed else 0)
