"""Work in many parts ends as it should, whatever the executor loses, and a folder belongs to one process at a time."""

import errno
import subprocess
import sys
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest

from cs336_lib import workshop as module
from cs336_lib.locks import BusyError, held, make_folder
from cs336_lib.workshop import carry_out, on_shared_storage, workshop

TASKS = [(number,) for number in range(20)]


def nowhere(number):
    return None


@pytest.fixture(autouse=True)
def no_patience(monkeypatch):
    monkeypatch.setattr(module, "PATIENCE", 0.05)


def results(pool, function, there=nowhere, ahead=4):
    found = []
    carry_out(pool, function, TASKS, there, found.append, ahead)
    return sorted(found)


def test_each_task_is_done_once_and_no_more_than_asked_for_are_handed_out():
    lock, now, most = threading.Lock(), 0, 0

    def square(number):
        nonlocal now, most
        with lock:
            now += 1
            most = max(most, now)
        time.sleep(0.002)
        with lock:
            now -= 1
        return number**2

    with ThreadPoolExecutor(8) as pool:
        assert results(pool, square, ahead=3) == [number**2 for number in range(20)]
    assert most <= 3


class Forgetful:
    """Does the work of every task and tells of none with an odd number, as when a worker dies with its answer."""

    def __init__(self, files):
        self.files = files

    def submit(self, function, number):
        future, self.files[number] = Future(), function(number)
        if number % 2 == 0:
            future.set_result(self.files[number])
        return future


def test_what_is_there_is_done_although_nobody_said_so():
    files = {}
    assert results(Forgetful(files), lambda number: number + 1, files.get) == list(range(1, 21))


class Confused(Forgetful):
    """Does the work, and reports an error all the same."""

    def submit(self, function, number):
        future, self.files[number] = Future(), function(number)
        future.set_exception(TypeError("cannot unpack"))
        return future


def test_what_is_there_is_done_although_an_error_was_reported():
    files = {}
    assert results(Confused(files), lambda number: number + 1, files.get) == list(range(1, 21))


@pytest.mark.parametrize("workers", [1, 2, 5])
def test_of_several_errors_the_first_in_order_is_raised_and_nothing_begins_after_it(workers):
    begun = []

    def fails(number):
        begun.append(number)
        if number >= 3:
            time.sleep(0.02 if number == 3 else 0)
            raise ValueError(f"task {number}")
        return number

    with ThreadPoolExecutor(workers) as pool, pytest.raises(ValueError, match="task 3"):
        results(pool, fails)
    assert max(begun) <= 3 + 4 + 1


def test_on_an_interrupt_nothing_is_left_running():
    running = threading.Semaphore(0)

    def work(number):
        time.sleep(0.05)
        running.release()
        return number

    def interrupted(number):
        raise KeyboardInterrupt

    with ThreadPoolExecutor(2) as pool:
        with pytest.raises(KeyboardInterrupt):
            carry_out(pool, work, TASKS, nowhere, interrupted, 4)
        ended = running._value
        time.sleep(0.1)
        assert running._value == ended < 5


def shop(folder, plan=None, **options):
    return workshop(folder, plan or {"of": [1, 2]}, finished=".ids", **options)


def test_finished_parts_of_the_same_plan_stay_and_others_go(tmp_path):
    folder = tmp_path / "parts"

    def leave(*names, plan=None):
        with pytest.raises(OSError, match="stop"), shop(folder, plan):
            for name in names:
                (folder / name).write_bytes(b"x")
            raise OSError("stop")

    def found():
        return sorted(path.name for path in folder.iterdir() if path.suffix == ".ids")

    leave("1.ids", ".2.ids.ab.part")
    leave()
    assert found() == ["1.ids"] and not list(folder.glob(".*part"))
    leave(plan={"of": [1, 3]})
    assert found() == []
    with shop(folder):
        (folder / "3.ids").write_bytes(b"x")
    assert not folder.exists()


def test_one_process_at_a_time(tmp_path):
    with shop(tmp_path / "parts"), pytest.raises(RuntimeError, match="another process is working in"):
        shop(tmp_path / "parts").__enter__()


def test_a_file_system_without_locks_will_do(tmp_path, monkeypatch):
    fcntl = pytest.importorskip("fcntl")

    def no_locks(descriptor, how):
        raise OSError(errno.ENOLCK, "no locks available")

    monkeypatch.setattr(fcntl, "flock", no_locks)
    with shop(tmp_path / "parts"):
        pass
    assert not (tmp_path / "parts").exists()


def test_a_folder_that_holds_something_else_is_left_alone(tmp_path):
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(ValueError, match=r"holds 'thesis\.tex', which is no part of this work; move it away"):
        shop(tmp_path).__enter__()
    assert (tmp_path / "thesis.tex").exists()


@pytest.mark.parametrize("kind", [FileNotFoundError, PermissionError, NotADirectoryError])
def test_what_a_worker_cannot_reach_is_told_with_the_way_out(tmp_path, kind):
    with (
        pytest.raises(
            (FileNotFoundError, PermissionError), match=r"a worker on \S+ can't read .*x \(gone\): all workers"
        ),
        on_shared_storage(tmp_path / "x"),
    ):
        raise kind(2, "gone")


def entry(path, kind):
    """Put something where a file of the work would lie."""
    if kind == "folder":
        path.mkdir()
    elif kind == "link":
        path.symlink_to(path.parent / "gone" / "x")
    else:
        path.write_text("[" * 100_000)


@pytest.mark.parametrize("kind", ["folder", "link", "deep JSON"])
@pytest.mark.parametrize("name", [module.PLAN, module.LOCK, "1.ids", ".1.ids.ab.part", ".notes"])
def test_what_lies_in_the_place_of_a_file_is_cleared_away_or_named(tmp_path, name, kind):
    folder = tmp_path / "parts"
    folder.mkdir()
    if name not in (module.PLAN, module.LOCK):
        (folder / module.PLAN).write_text("{}")
    entry(folder / name, kind)
    try:
        with shop(folder):
            pass
    except (ValueError, OSError) as error:
        said = str(error)
        assert kind != "deep JSON" and "Errno" not in said and str(folder) in said and name in said
        assert "move" in said or "remove the link" in said
        assert (folder / name).is_symlink() == (kind == "link") and len(list(folder.iterdir())) <= 2
    else:
        assert kind != "folder" and not folder.exists()


@pytest.mark.parametrize("kind", ["link", "file"])
def test_what_has_the_name_of_a_folder_is_named(tmp_path, kind):
    entry(tmp_path / "parts", kind)
    wrong = r"parts is a .*, and a folder belongs there; move it away"
    with pytest.raises(FileExistsError, match=wrong):
        shop(tmp_path / "parts").__enter__()
    with pytest.raises(FileExistsError, match=wrong):
        held(tmp_path / "parts" / "inner" / "lock", "busy").__enter__()


def test_a_lock_in_a_folder_that_was_removed_with_this_process_in_it_is_not_tried_for_ever(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    try:
        (tmp_path / "here").rmdir()
    except OSError:
        pytest.skip("no folder is removed under a process here")
    with pytest.raises(FileNotFoundError):
        held(Path("lock"), "busy").__enter__()


def others(folder):
    """Let another process hold the folder, leave it in the middle of its tidying up, and say how to end that."""
    theirs = held(folder / module.LOCK, "busy")
    theirs.__enter__()
    (folder / "1.ids").write_bytes(b"x")  # its plan is gone, and a listing from before that still has this

    def end():
        (folder / "1.ids").unlink()
        (folder / module.LOCK).unlink()
        folder.rmdir()
        theirs.__exit__(None, None, None)

    return end


@pytest.mark.parametrize("error", [FileNotFoundError, FileExistsError])
def test_a_folder_that_cannot_be_made_is_not_tried_for_ever(tmp_path, monkeypatch, error):
    # /proc answers so: it is there, and nothing can be made in it.
    tried = []

    def mkdir(folder, *arguments, **named):
        tried.append(folder)
        raise error(errno.ENOENT, "as in /proc", str(folder))

    monkeypatch.setattr(Path, "mkdir", mkdir)
    with pytest.raises(error, match="new"):
        make_folder(tmp_path / "new", parents=True)
    assert 10 < len(tried) < 5000


def test_a_folder_whose_parent_goes_a_few_times_is_made(tmp_path, monkeypatch):
    mkdir, left = Path.mkdir, [3]

    def removed(folder, *arguments, **named):
        if folder.name == "new" and left[0]:
            left[0] -= 1
            raise FileNotFoundError(errno.ENOENT, "gone", str(folder))
        mkdir(folder, *arguments, **named)

    monkeypatch.setattr(Path, "mkdir", removed)
    make_folder(tmp_path / "above" / "new", parents=True)
    assert (tmp_path / "above" / "new").is_dir() and not left[0]


def test_a_folder_that_another_process_tidies_up_is_busy_and_no_strangers(tmp_path):
    pytest.importorskip("fcntl")
    folder, lines = tmp_path / "parts", []
    folder.mkdir()
    end = others(folder)
    with pytest.raises(BusyError, match="another process is working"):
        shop(folder).__enter__()

    def wait(line):
        lines.append(line)
        end()

    with shop(folder, wait=wait):
        assert (folder / module.PLAN).exists()
    assert len(lines) == 1 and not folder.exists()


def test_a_look_that_came_too_late_is_taken_again(tmp_path, monkeypatch):
    """Listed before another process tidied up, and asked for the plan after it."""
    folder = tmp_path / "parts"
    folder.mkdir()
    listings = [[folder / "1.ids"]]
    whole = type(folder).iterdir
    monkeypatch.setattr(type(folder), "iterdir", lambda path: listings.pop() if listings else whole(path))
    with shop(folder):
        assert not listings


def test_a_folder_may_go_between_two_looks(tmp_path, monkeypatch):
    folder = tmp_path / "parts"
    plain, seen = type(folder).mkdir, []

    def mkdir(path, *arguments, **options):
        if path == folder and len(seen) < 3:
            seen.append(path)
            raise FileExistsError(errno.EEXIST, "File exists", str(path))  # made by another process, and gone
        return plain(path, *arguments, **options)

    monkeypatch.setattr(type(folder), "mkdir", mkdir)
    with shop(folder):
        assert len(seen) == 3


RACE = """
import sys, time
from cs336_lib.locks import BusyError
from cs336_lib.workshop import workshop
from pathlib import Path
number, until, done = int(sys.argv[1]), time.time() + 2, 0
while time.time() < until:
    number += 1
    try:
        with workshop(Path("parts"), {"of": number % 2}, finished=".ids", wait=print if sys.argv[2] else None):
            for name in "abc":
                Path(f"parts/{name}.ids").write_bytes(b"x")
        done += 1
    except BusyError:
        assert not sys.argv[2]
print("done", done)
"""


@pytest.mark.parametrize("wait", ["", "wait"])
def test_processes_that_race_for_one_folder_work_or_wait(tmp_path, wait):
    pytest.importorskip("fcntl")
    command = [sys.executable, "-c", RACE]
    racing = [
        subprocess.Popen([*command, str(number), wait], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        for number in range(3)
    ]
    said = [process.communicate(timeout=60)[0].decode() for process in racing]
    assert all(process.returncode == 0 for process in racing), said
    assert sum(int(one.split()[-1]) for one in said) > 3
