"""What the tests let workers of a cluster do: note what they begin and make, and kill themselves once in the middle."""

import os
import signal
from pathlib import Path

_rename = Path.replace


def noted(log, number, deadly, function, *arguments):
    """Run a task; write down that it began and that its file took its name.

    Args:
        log: a file that all workers append to.
        number: of the task.
        deadly: when the first process that runs the task ends as by kill -9: None for never, "before" the work, or when
            the file is "written" and only lacks its name.
        function: the task.
        arguments: its own.
    """
    dies = deadly and f"begun {number}\n" not in Path(log).read_text()
    note(log, f"begun {number}")
    if dies and deadly == "before":
        die()

    def takes_its_name(path, target):
        a_part = Path(target).suffix in (".counts", ".sums", ".ids")  # not a kernel for the cache
        if a_part and dies:
            die()
        _rename(path, target)
        if a_part:
            note(log, f"made {number}")

    Path.replace = takes_its_name
    try:
        return function(*arguments)
    finally:
        Path.replace = _rename


def note(log, line):
    """Append a line."""
    with Path(log).open("a") as file:
        file.write(f"{line}\n")


def die():
    """End this process at once, with nothing tidied up."""
    os.kill(os.getpid(), signal.SIGKILL)
