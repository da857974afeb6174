"""Add up the JUnit reports in a folder into one plain line: "N passed, N failed, N skipped"."""

import sys
from pathlib import Path
from xml.etree import ElementTree


def main() -> int:
    """Print a line a report and the sum; exit status 1 when anything failed or nothing ran."""
    total = {"passed": 0, "failed": 0, "skipped": 0}
    for report in sorted(Path(sys.argv[1]).glob("*.xml")):
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
