#!/usr/bin/env bash
# What a command line prints should be the same each time: tests compare it, and people find it again. tyro's help lists
# the choices of an argument in the order of its annotation; its message about a wrong choice takes them from a set, so
# that their order changes with Python's hash seed, which is another one in each process.
#
# Seen: one help text and several messages in eight processes, for bool | None and for a Literal | None alike.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check tyro==1.0.17
cat > "$work/tool.py" <<'PY'
from dataclasses import dataclass
from typing import Literal

import tyro


@dataclass
class Options:
    compile: bool | None = None
    mode: Literal["default", "reduce-overhead", "max-autotune"] | None = None


print(tyro.cli(Options))
PY
"$work/venv/bin/python" - "$work/tool.py" <<'PY'
import os
import re
import subprocess
import sys


def said(seed, *options):
    """What the tool prints with a hash seed, without its box."""
    environment = {**os.environ, "PYTHONHASHSEED": str(seed), "COLUMNS": "200", "NO_COLOR": "1"}
    done = subprocess.run([sys.executable, sys.argv[1], *options], env=environment, capture_output=True, text=True)
    return " ".join(re.sub(r"[^\x20-\x7e]", " ", done.stdout + done.stderr).split())


helps = {said(seed, "--help") for seed in range(8)}
print(len(helps), "help text")
assert len(helps) == 1 and "{None,True,False}" in helps.pop()
for option in ("--compile", "--mode"):
    messages = {re.search(r"Expected one of (\(.*?\))", said(seed, option, "wrong"))[1] for seed in range(8)}
    print(option, *sorted(messages), sep="\n    ")
    assert len(messages) > 1 and len({frozenset(re.findall(r"'(.*?)'", message)) for message in messages}) == 1
PY
