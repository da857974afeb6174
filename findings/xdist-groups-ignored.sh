#!/usr/bin/env bash
# Tests of one xdist_group run on several workers, in silence: pytest-xdist marks the group in an attribute of the item
# that this pytest no longer makes node ids from, so --dist loadgroup schedules each test by itself. Fixtures of a module
# that should be made once are made by every worker. --dist loadfile is not concerned.
#
# Seen: four tests of one group on two workers with loadgroup, on one with loadfile.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check pytest==9.2.0 pytest-xdist==3.8.0
cat > "$work/test_group.py" <<'PY'
import os
import time

import pytest


@pytest.mark.xdist_group("one")
@pytest.mark.parametrize("number", range(4))
def test_who(number):
    time.sleep(0.5)
    with open("workers.txt", "a") as file:
        file.write(os.environ["PYTEST_XDIST_WORKER"] + "\n")
PY
cd "$work"
workers() {
  rm -f workers.txt
  "$work/venv/bin/python" -m pytest -q -n 2 --dist "$1" test_group.py > /dev/null
  sort -u workers.txt | wc -l | tr -d ' '
}
groups=$(workers loadgroup)
files=$(workers loadfile)
echo "pytest 9.2.0, pytest-xdist 3.8.0: loadgroup on $groups workers, loadfile on $files"
[ "$groups" = 2 ] && [ "$files" = 1 ]
