#!/usr/bin/env bash
# A command of two words, such as `tool train`, is given to tyro as `prog="tool train"`, and the configurations to choose
# from become its subcommands. Where an option is misspelled, tyro says which subcommands have the one that was meant, and
# how to see their help. Of the command's name it takes the first word only there, so that the line it offers is no command;
# the usage line, and the last line of the same message, have both words.
#
# Expected: the help that an error points to can be asked for as it stands.
# Seen: "in tool short --help" beside "run tool train --help", and `tool train short` in the usage line.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check tyro==1.0.17
cat > "$work/hint.py" <<'PY'
import contextlib
import dataclasses
import io
import re
from importlib.metadata import version

import tyro


@dataclasses.dataclass(frozen=True)
class Run:
    """A run.

    Attributes:
        steps: how many.
    """

    steps: int = 10


RUNS = {"short": ("a short one", Run()), "long": ("a long one", Run(1_000))}


def told(*arguments):
    out = io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out), contextlib.suppress(SystemExit):
        tyro.extras.overridable_config_cli(RUNS, prog="tool train", args=list(arguments))
    return out.getvalue()


error, usage = told("short", "--stepz", "3"), told("short", "--help")
named = re.findall(r"tool [a-z ]*--help", error)
print(f"tyro {version('tyro')}: the error names {', '.join(named)}")
print(next(line for line in usage.splitlines() if line.startswith("usage")))
assert set(named) == {"tool short --help", "tool long --help", "tool train --help"}
assert "usage: tool train short " in usage
PY
"$work/venv/bin/python" "$work/hint.py"
