"""Add up the JUnit reports in a folder into one plain line: "N passed, N failed, N skipped".

python tools/count.py _build/reports [--slowest 12]
"""

import argparse
import sys
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from xml.etree import ElementTree


def slowest(reports: Iterable[Path], number: int) -> list[str]:
    """Return lines that name the files and the single tests that took the most time.

    Two workers run side by side, so the sum is about twice what a clock shows.
    """
    files: dict[str, float] = defaultdict(float)
    tests: dict[str, float] = defaultdict(float)
    for report in reports:
        for case in ElementTree.parse(report).getroot().iter("testcase"):
            file = (case.get("classname") or "").removeprefix("tests.")
            seconds = float(case.get("time") or 0)
            files[file] += seconds
            tests[f"{file.rpartition('.')[2]}::{case.get('name')}"] += seconds
    lines = [f"what took the time: {sum(files.values()):.0f} s of workers in {len(tests)} tests"]
    for title, counted in (("files", files), ("tests", tests)):
        lines.append(f"  slowest {title}")
        most = sorted(counted.items(), key=lambda item: -item[1])[:number]
        lines += [f"  {seconds:7.1f} s  {name[:100]}" for name, seconds in most]
    return lines


def main() -> int:
    """Print a line a report and the sum; exit status 1 when anything failed or nothing ran."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path, help="where the reports are")
    parser.add_argument("--slowest", type=int, default=0, metavar="N", help="also name the N slowest files and tests")
    arguments = parser.parse_args()
    reports = sorted(arguments.folder.glob("*.xml"))
    if arguments.slowest:
        print("\n".join(slowest(reports, arguments.slowest)))
    total = {"passed": 0, "failed": 0, "skipped": 0}
    for report in reports:
        count = dict.fromkeys(total, 0)
        for suite in ElementTree.parse(report).getroot().iter("testsuite"):
            failed = int(suite.get("failures", 0)) + int(suite.get("errors", 0))
            skipped = int(suite.get("skipped", 0))
            count["failed"] += failed
            count["skipped"] += skipped
            count["passed"] += int(suite.get("tests", 0)) - failed - skipped
        print(f"{report.stem:10}", ", ".join(f"{number} {what}" for what, number in count.items()))
        total = {what: total[what] + count[what] for what in total}
    print(", ".join(f"{number} {what}" for what, number in total.items()))
    return int(total["failed"] > 0 or total["passed"] == 0)


if __name__ == "__main__":
    sys.exit(main())
