"""A command that is stopped or killed leaves nothing behind, and says what had not returned."""

import os
import signal
import subprocess
import sys
import time

import pytest
from test_check_nasty import SOFTMAX, ask, project

from cs336_lib.check.child.runner import RIGHT

HANGING = """
import os, time
def run_silu(x):
    with open({place!r}, "w") as file:
        file.write(str(os.getpid()))
    time.sleep(1000)
"""


def hanging(folder):
    """The command on a solution that hangs, and the process that hangs in it."""
    place = folder / "pid"
    project(folder, HANGING.format(place=str(place)))
    (folder / "temporary").mkdir()
    command = [sys.executable, "-m", "cs336_lib", "check", str(folder), "--only", "positionwise_feedforward.silu"]
    env = os.environ | {"TMPDIR": str(folder / "temporary")}
    running = subprocess.Popen(command, env=env, stdout=subprocess.PIPE, text=True)
    until = time.monotonic() + 120
    while not (place.exists() and place.read_text()):
        assert time.monotonic() < until and running.poll() is None
        time.sleep(0.05)
    return running, int(place.read_text())


def alive(pid):
    """Whether a process runs; one that has ended and that nobody waits for does not."""
    state = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False).stdout
    return bool(state.strip()) and not state.strip().startswith("Z")


@pytest.mark.parametrize(
    "name",
    ["SIGTERM", pytest.param("SIGHUP", marks=pytest.mark.check), pytest.param("SIGINT", marks=pytest.mark.check)],
)
def test_a_signal_ends_the_solution_and_names_what_had_not_returned(tmp_path, name):
    running, child = hanging(tmp_path)
    running.send_signal(getattr(signal, name))
    shown, _ = running.communicate(timeout=60)
    assert running.returncode == 130
    assert not alive(child) and not list((tmp_path / "temporary").iterdir())
    how = "Ctrl-C" if name == "SIGINT" else name
    assert f"stopped by {how} after 0 of 1 questions" in shown
    assert "In short: stopped before the end" in shown and "nothing is wrong" not in shown
    assert "what had not returned: positionwise_feedforward.silu (after " in " ".join(shown.split())


def test_the_solution_ends_with_a_command_that_is_killed(tmp_path):
    running, child = hanging(tmp_path)
    running.kill()
    running.communicate(timeout=60)
    until = time.monotonic() + 30
    while alive(child) or list((tmp_path / "temporary").iterdir()):
        assert time.monotonic() < until
        time.sleep(0.05)


def test_what_was_found_before_it_was_stopped_is_told(monkeypatch, tmp_path):
    from cs336_lib.check import training

    def interrupted(*_):
        signal.raise_signal(signal.SIGTERM)

    monkeypatch.setattr(training, "trained", interrupted)
    before = signal.getsignal(signal.SIGTERM)
    report, answers = ask(project(tmp_path, SOFTMAX), "softmax.large", train=True)
    assert answers["softmax.large"].status == RIGHT and report.stopped and not report.passed
    assert report.verdict == "stopped before the end, no faults until then"
    assert signal.getsignal(signal.SIGTERM) == before
    assert report.as_dict()["stopped"] and not report.as_dict()["passed"]
