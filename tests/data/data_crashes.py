"""Kill encode_file again and again, then let it finish and print the hash of what it made.

python data_crashes.py "at random moments" | "at every step" | "at every step of going on" | "on a small disk"  TEXT OUT
"""

import hashlib
import os
import random
import signal
import sys
import threading
import time
from functools import partial
from pathlib import Path

from data_texts import tokenizer
from tqdm import tqdm

from cs336_lib.data import TokenFile, encode_file, joining

OURS = tokenizer()
joining.FLUSHED = 40_000
STEPS = {os: ("fsync", "fdatasync", "truncate"), Path: ("replace", "unlink", "rmdir", "mkdir", "write_bytes")}


def forked(work):
    """Run a function in a child; returns its process id."""
    child = os.fork()
    if child == 0:
        # tqdm's lock is one for a process and all that it forks: killed while it holds it, a child would keep it.
        tqdm.set_lock(threading.RLock())
        try:
            work()
        finally:
            os._exit(0)
    return child


def check(out):
    """What lies under the final name is complete, or nothing."""
    if out.exists():
        TokenFile.open(out, tokenizer=OURS).verify()


def at_random_moments(text, out):
    rng = random.Random(os.getpid())
    began = time.monotonic()
    encode_file(OURS, text, out, workers=2, part_bytes=10_000)
    usual = time.monotonic() - began
    killed = 0
    while killed < 10:
        out.unlink(missing_ok=True)
        child = forked(lambda: encode_file(OURS, text, out, workers=2, part_bytes=10_000))
        time.sleep(rng.uniform(0, usual))
        os.kill(child, signal.SIGKILL)
        killed += os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
        check(out)


def dies_at(step):
    """Make this process kill itself before the given one of its changes to the disk."""
    left = [step]

    def deadly(function):
        def wrapper(*args, **kwargs):
            if not left[0]:
                os.kill(os.getpid(), signal.SIGKILL)
            left[0] -= 1
            return function(*args, **kwargs)

        return wrapper

    for owner, names in STEPS.items():
        for name in names:
            setattr(owner, name, deadly(getattr(owner, name)))


def at_every_step(text, out, before=()):
    """Die at each step of a run, of one that goes on where others died at the steps `before`."""

    def crash(step):
        dies_at(step)
        encode_file(OURS, text, out, workers=1, part_bytes=100_000)

    def dies(step):
        child = forked(partial(crash, step))
        died = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
        check(out)
        return died

    step, died = 0, True
    while died:
        assert all([dies(one) for one in before])
        died = dies(step)
        encode_file(OURS, text, out, workers=1, part_bytes=100_000)
        check(out)
        assert [path.name for path in out.parent.glob(f"{out.name}*")] == [out.name], step
        out.unlink()
        step += 1
    assert step > 9 - 2 * len(before), step  # the disk is given some parts, or others


def at_every_step_of_going_on(text, out):
    at_every_step(text, out, before=(5,))
    at_every_step(text, out, before=(5, 3))


def on_a_small_disk(text, out):
    ballast = out.with_name("ballast")
    ballast.write_bytes(bytes(1_000_000))
    try:
        encode_file(OURS, text, out, workers=1, part_bytes=20_000)
    except OSError as error:
        assert "no space left" in str(error) and "parts are kept" in str(error), error
        print("full")
    assert not out.exists()
    ballast.unlink()


def main():
    how, text, out = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])
    globals()[how.replace(" ", "_")](text, out)
    encode_file(OURS, text, out, workers=2, part_bytes=20_000)
    print(hashlib.sha256(out.read_bytes()).hexdigest())


if __name__ == "__main__":
    main()
