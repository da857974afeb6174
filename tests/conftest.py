"""Options and fixtures that every test may use."""

import os
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path

import hypothesis
import matplotlib
import pytest

# Doctest collection would import them a second time, under clashing names.
collect_ignore_glob = ["conftest.py", "*/conftest.py"]

matplotlib.use("agg")
# Where it is installed, jsonschema, and so nbformat, takes two seconds to load a grammar of addresses.
sys.modules["rfc3987_syntax"] = None
# Hypothesis keeps its examples outside of the checkout, which may be read-only.
os.environ.setdefault("HYPOTHESIS_STORAGE_DIRECTORY", str(Path(tempfile.gettempdir()) / "cs336-hypothesis"))

# A test that does not say how many examples it takes; each run of the gate draws others.
hypothesis.settings.register_profile("gate", max_examples=50)
hypothesis.settings.load_profile("gate")

ROOT = Path(__file__).resolve().parent.parent

LONGEST = (
    "instruments/test_instruments_browser.py",
    "processes/test_torch_restart.py",
    "processes/test_torch_engines.py",
    "processes/test_dask_cluster.py",
    "training/test_training_trainer.py",
    "instruments/test_instruments_speed.py",
    "bpe/counting/test_bpe_shards.py",
    "bpe/test_bpe_training.py",
    "check/test_check_nasty.py",
    "training/test_training_faults.py",
    "native/test_native_library.py",
    "data/test_data_tales.py",
)
"""The files that take longest, the longest first, so that at the end no worker is alone with one of them."""


_WHERE = "import importlib.util as u; found = u.find_spec('cs336_lib'); print(found.origin if found else '')"


def pytest_configure(config):
    """Where the package is not installed, or another is, let the processes that tests start find the checkout, too."""
    if not hasattr(config, "workerinput"):
        elsewhere = {"cwd": tempfile.gettempdir(), "check": True, "capture_output": True, "text": True}
        found = subprocess.run([sys.executable, "-c", _WHERE], **elsewhere).stdout.strip()
        if not found or Path(found).resolve() != ROOT / "cs336_lib/__init__.py":
            os.environ["PYTHONPATH"] = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])


def pytest_addoption(parser):
    parser.addoption(
        "--built-book", type=Path, default=ROOT / "_build/html", help="the rendered book that tests/book reads"
    )


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items):
    """Put the longest files first; `--no-loadscope-reorder` keeps them there."""
    ranks = {ROOT / "tests" / name: rank for rank, name in enumerate(LONGEST)}
    items.sort(key=lambda item: ranks.get(item.path, len(LONGEST)))


@pytest.fixture(scope="session")
def root() -> Path:
    """The repository."""
    return ROOT


class Killed(BaseException):
    """The process is gone: nothing catches this, and nothing is tidied up behind it."""


class Disk:
    """Breaks the disk under a store: a kill before any of its changes, an error of the system in any of them.

    After a kill every further change fails as well, for a dead process does not clean up.
    """

    CHANGES = ("fsync", "replace", "rename", "mkdir", "unlink", "remove", "rmdir")

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self._patch, self.done = patch, 0

    def changes(self, work) -> int:
        """How many changes of the disk a piece of work makes."""
        with self._broken(lambda name, number: None):
            work()
        return self.done

    def killed_at(self, number: int, work) -> None:
        """Do a piece of work and die before its change of this number."""

        def die(name, now):
            if now >= number:
                raise Killed

        with self._broken(die), pytest.raises(Killed):
            work()

    def failing_at(self, number: int, code: int, work) -> Exception | None:
        """Do a piece of work in which one change fails with an error of the system; return the error that comes out."""

        def fail(name, now):
            if now == number:
                raise OSError(code, os.strerror(code))

        with self._broken(fail):
            try:
                work()
            except Exception as error:
                return error
        return None

    @contextmanager
    def _broken(self, before):
        self.done = 0
        with self._patch.context() as patch:
            for name in self.CHANGES:
                patch.setattr(os, name, self._counted(name, getattr(os, name), before))
            yield

    def _counted(self, name, function, before):
        def counted(*arguments, **options):
            number = self.done
            self.done += 1
            before(name, number)
            return function(*arguments, **options)

        return counted


@pytest.fixture
def disk(monkeypatch) -> Disk:
    """A disk that can be broken at will; see `Disk`."""
    return Disk(monkeypatch)
