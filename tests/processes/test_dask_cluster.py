"""On a Dask cluster of two worker processes: the bytes of one thread, also when a worker is killed in the middle."""

import hashlib
import os
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from dist_dask_dies import noted

from cs336_lib.bpe import Tokenizer, train_bpe
from cs336_lib.bpe.counting import shards as sharded_counting
from cs336_lib.cli import main
from cs336_lib.data import encode_file, tales

distributed = pytest.importorskip("distributed")
pytestmark = [pytest.mark.dist, pytest.mark.xdist_group("dask")]

HERE = Path(__file__).parent
END = "<|endoftext|>"
TEXT_BYTES, PART_BYTES = 1_000_000, 100_000


@pytest.fixture(scope="module")
def text(tmp_path_factory):
    path = tmp_path_factory.mktemp("text") / "tales.txt"
    tales.write(path, TEXT_BYTES, seed=0)
    return path


@pytest.fixture(scope="module")
def alone(text):
    """What one thread of one process makes of the text: merges, tokenizer, and the hash of the token file."""
    result = train_bpe(text, 600, [END], workers=1)
    tokenizer = Tokenizer(result.vocab, result.merges, [END])
    out = text.with_name("alone.tokens")
    encode_file(tokenizer, text, out, workers=1)
    return result.merges, tokenizer, sha256(out)


@pytest.fixture(scope="module")
def client():
    import dask

    paths = os.pathsep.join([str(HERE), str(HERE.parents[1])])
    with (
        pytest.MonkeyPatch.context() as patch,
        # On a busy machine a worker takes longer to start again than the 15 s after which its cluster gives it up.
        dask.config.set({"distributed.deploy.lost-worker-timeout": "300s"}),
    ):
        patch.setenv("PYTHONPATH", paths)
        patch.setenv("PYTHONWARNINGS", "ignore")  # a killed worker's nanny says so
        cluster = distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, dashboard_address=":0", silence_logs=50, memory_limit=0
        )
        with cluster, distributed.Client(cluster) as client:
            yield client


@pytest.fixture
def small_shards(monkeypatch):
    monkeypatch.setattr(sharded_counting, "_SMALLEST_SHARD", PART_BYTES)


def sha256(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


class Noting:
    """A Dask client's executor whose workers note their tasks, and of whom one dies over a task.

    Args:
        client: of the cluster.
        log: file for the numbers of the tasks.
        function: name of the function whose tasks are noted.
        deadly: number of the task -> when to die, see `noted`.
    """

    def __init__(self, client, log, function, deadly):
        self._executor, self._log, self._function, self._deadly = client.get_executor(), log, function, deadly
        log.touch()

    def submit(self, function, *arguments):
        if function.__name__ != self._function:
            return self._executor.submit(function, *arguments)
        number = arguments[1]
        return self._executor.submit(noted, str(self._log), number, self._deadly.get(number), function, *arguments)

    def noted(self, what):
        """How often each task was "begun", or "made" its file."""
        lines = [line.split() for line in self._log.read_text().splitlines()]
        return Counter(int(number) for said, number in lines if said == what)


def assert_only_the_killed_task_was_done_again(executor, number):
    """Dask begins other tasks again, too, whose answers had not left the dead worker; they find their file there."""
    assert executor.noted("begun")[number] >= 2
    made = executor.noted("made")
    assert len(made) >= 4 and set(made.values()) == {1}, made


def test_the_counts_of_a_cluster_are_those_of_one_thread(text, alone, client, small_shards):
    result = train_bpe(text, 600, [END], executor=client.get_executor())
    assert result.merges == alone[0]
    assert result.stats.workers == 0, "the cluster counted, not threads of this process"
    assert not text.with_name("tales.txt.counts").exists()


def test_the_token_file_of_a_cluster_is_that_of_one_thread(text, alone, client, tmp_path):
    encode_file(alone[1], text, tmp_path / "x", executor=client.get_executor(), part_bytes=PART_BYTES)
    assert sha256(tmp_path / "x") == alone[2]
    assert [path.name for path in tmp_path.iterdir()] == ["x"]


@pytest.mark.parametrize(
    ("function", "number", "when"),
    [("count_one", 4, "before"), ("count_one", 3, "written"), ("add_up", 2, "written")],
)
def test_a_worker_killed_while_it_counts_costs_its_task_only(
    text, alone, client, tmp_path, small_shards, function, number, when
):
    executor = Noting(client, tmp_path / "log", function, {number: when})
    assert train_bpe(text, 600, [END], executor=executor, shards=tmp_path / "work").merges == alone[0]
    assert_only_the_killed_task_was_done_again(executor, number)
    assert not (tmp_path / "work").exists()
    print(function, when, hashlib.sha256(repr(alone[0]).encode()).hexdigest()[:16])


@pytest.mark.parametrize("when", ["before", "written"])
def test_a_worker_killed_while_it_encodes_costs_its_part_only(text, alone, client, tmp_path, when):
    executor = Noting(client, tmp_path / "log", "encode_part", {5: when})
    encode_file(alone[1], text, tmp_path / "x", executor=executor, part_bytes=PART_BYTES)
    assert sha256(tmp_path / "x") == alone[2]
    assert_only_the_killed_task_was_done_again(executor, 5)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["log", "x"]
    print("encode_part", when, alone[2][:16])


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="a path that means another file in each process")
def test_workers_that_do_not_see_the_text_end_the_call_with_what_to_do(text, alone, client, tmp_path):
    fcntl = pytest.importorskip("fcntl")
    with text.open("rb") as file, os.fdopen(fcntl.fcntl(file, fcntl.F_DUPFD, 900)) as ours:
        private = f"/proc/self/fd/{ours.fileno()}"  # a number that no worker has a file for
        with pytest.raises(FileNotFoundError, match=r"a worker on .* can't read /proc/self/fd/\d+ .*storage that they"):
            train_bpe(private, 600, [END], executor=client.get_executor(), shards=tmp_path / "work")
        with pytest.raises(FileNotFoundError, match=r"a worker on .* can't read /proc/self/fd/\d+"):
            encode_file(alone[1], private, tmp_path / "x", executor=client.get_executor())
    assert not (tmp_path / "x").exists()


def test_a_run_that_failed_on_a_cluster_goes_on_with_threads(text, alone, client, tmp_path, small_shards):
    """The folder is the same whoever works in it."""

    submit = client.get_executor().submit

    class FailsToAddUp:
        def submit(self, function, *arguments):
            return submit(divmod, 1, 0) if function.__name__ == "add_up" else submit(function, *arguments)

    with pytest.raises(ZeroDivisionError):
        train_bpe(text, 600, [END], executor=FailsToAddUp(), shards=tmp_path / "work")
    assert len(list((tmp_path / "work").glob("*.counts"))) == TEXT_BYTES // PART_BYTES
    with ThreadPoolExecutor(2) as threads:
        assert train_bpe(text, 600, [END], executor=threads, shards=tmp_path / "work").merges == alone[0]


def test_the_command_line_takes_the_address_of_a_cluster(text, alone, client, tmp_path, capsys):
    there = ["--dask", client.scheduler.address]
    assert main(["train-tokenizer", str(text), "--vocab-size", "600", "--out", str(tmp_path / "ours"), *there]) == 0
    assert main(["encode", str(tmp_path / "ours"), str(text), str(tmp_path / "x"), *there]) == 0
    assert sha256(tmp_path / "x") == alone[2]
    assert main(["encode", str(tmp_path / "ours"), str(text), str(tmp_path / "y"), "--dask", "over there"]) == 2
    assert "one looks like tcp://host:8786" in capsys.readouterr().err
