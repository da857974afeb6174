"""Work in many parts ends as it should, whatever the executor loses, and a folder belongs to one process at a time."""

import errno
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from cs336_lib import workshop as module
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
