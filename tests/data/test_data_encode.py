"""encode_file: the same bytes whoever works, whatever happens on the way."""

import errno
import hashlib
import io
import multiprocessing
import os
import shutil
import subprocess
import sys
import threading
import time
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from data_texts import END, NASTY, prose, tokenizer
from hypothesis import example, given, settings
from hypothesis import strategies as st

from cs336_lib.bpe.cutting.cuts import FileChangedError
from cs336_lib.data import TokenFile, encode_file, joining, parts, pieces
from cs336_lib.data.joining import Joining
from cs336_lib.data.token_format import write_token_file

CRASHES = Path(__file__).with_name("data_crashes.py")
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
PATTERNS = {
    "gpt2": tokenizer().pattern,
    "joins what it likes": r"[^\n]*\n|[^\n]+",
}


@pytest.fixture
def text(tmp_path):
    """About 300 kB of text: long enough for the compiled encoder."""
    (tmp_path / "in").mkdir()
    path = tmp_path / "in" / "corpus.txt"
    path.write_bytes(prose(300_000))
    return path


def sha(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def about(**said):
    """A tokenizer that says other things of itself."""
    usual = {"vocab_size": 100, "special_tokens": (END,), "fingerprint": "ab", "encode_to_array": len}
    return SimpleNamespace(**{**usual, **said})


class Here(Executor):
    """Runs everything at once, in the caller's thread."""

    def submit(self, function, /, *args, **kwargs):
        future = Future()
        try:
            future.set_result(function(*args, **kwargs))
        except Exception as error:
            future.set_exception(error)
        return future


class Late:
    """Another tokenizer: as many ids as bytes, each the next one."""

    vocab_size, special_tokens, fingerprint = 300, (END,), "cd"

    def encode_to_array(self, data):
        return np.frombuffer(data, np.uint8) + np.int64(1)


def plan_of(tokenizer, text, part_bytes):
    status = text.stat()
    about = tokenizer.fingerprint, tokenizer.vocab_size, part_bytes
    return parts.Plan(status.st_size, status.st_mtime_ns, *about)


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.sampled_from(NASTY), max_size=30).map("".join),
    st.integers(1, 40),
    st.sampled_from(
        [(), (END,), (END, "<|x|>"), (END, "<|x|>", "<|x|><|x|>"), ("<|x|>", "x|><|x", "|><|"), (" ", "\n")]
    ),
    st.sampled_from(list(PATTERNS.values())),
)
@example("<|x|><|x|><|x|>" * 9, 3, (END, "<|x|>", "<|x|><|x|>"), PATTERNS["joins what it likes"])
@example("aaaa" * 50, 7, (), PATTERNS["gpt2"])
def test_pieces_encoded_one_by_one_are_the_whole(text, step, specials, pattern):
    ours = tokenizer(specials, pattern)
    data = text.encode()
    found = pieces.cuts(io.BytesIO(data), len(data), specials, pattern)
    spans = [pieces.bounds(found, len(data), at, min(at + step, len(data))) for at in range(0, len(data), step)]
    spans = [span for span in spans if span != (0, 0)]
    assert [a for a, _ in spans[1:]] == [b for _, b in spans[:-1]]
    assert b"".join(data[a:b] for a, b in spans) == data
    ids = [i for a, b in spans for i in ours.encode(data[a:b].decode())]
    assert ids == ours.encode(text)


def test_ends_of_specials_are_found_across_windows(monkeypatch):
    monkeypatch.setattr(pieces, "_WINDOW", 3)
    data = b"aaaa<|x|>bbbbbbbbbbbbbb<|x|><|x|>c"
    ends = pieces.SpecialEnds(io.BytesIO(data), len(data), [b"<|x|>", b"<|x|><|x|>"])
    assert [ends.first_cut(at, len(data) + 1) for at in (1, 9, 10, 33, 34)] == [9, 9, 33, 33, 34]


def test_the_token_file_holds_the_ids_of_the_text(tmp_path, text):
    ours = tokenizer()
    done = encode_file(ours, text, tmp_path / "x.tokens", part_bytes=10_000)
    tokens = TokenFile.open(done.path, tokenizer=ours)
    tokens.verify()
    assert tokens.ids.tolist() == ours.encode(text.read_bytes().decode())
    assert tokens.header.source_sha256 == sha(text)
    assert tokens.header.source_bytes == done.source_bytes == done.encoded_bytes == text.stat().st_size
    assert done.tokens == len(tokens) and tokens.dtype == np.uint16
    assert done.bytes_per_token == pytest.approx(text.stat().st_size / len(tokens))
    assert "bytes per token" in str(done) and "MB/s" in str(done)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["in", "x.tokens"]


@pytest.mark.parametrize("content", [b"", b"x", END.encode(), b"\xff\xfe not UTF-8 \x80", b"\xef\xbb\xbfBOM"])
def test_short_and_strange_files_are_encoded_too(tmp_path, content):
    (tmp_path / "a").write_bytes(content)
    ours = tokenizer()
    encode_file(ours, tmp_path / "a", tmp_path / "b", part_bytes=2)
    assert ours.decode_bytes(TokenFile.open(tmp_path / "b").ids) == content


def test_a_large_vocabulary_takes_four_bytes(tmp_path, text):
    class Large:
        vocab_size, special_tokens, fingerprint = 70_000, (END,), "ab"

        def encode_to_array(self, data):
            return np.full(3, 69_999)

    encode_file(Large(), text, tmp_path / "x")
    tokens = TokenFile.open(tmp_path / "x")
    assert tokens.dtype == np.uint32 and tokens.ids.tolist() == [69_999] * 3


def executors():
    spawn = multiprocessing.get_context("spawn")
    return {
        "threads": lambda: ThreadPoolExecutor(3),
        "caller": Here,
        "processes": lambda: ProcessPoolExecutor(2, mp_context=spawn),
    }


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
    """The token file that one worker makes of the fixture's text."""
    folder = tmp_path_factory.mktemp("reference")
    (folder / "a").write_bytes(prose(300_000))
    encode_file(tokenizer(), folder / "a", folder / "b", workers=1, part_bytes=1 << 20)
    return sha(folder / "b")


@pytest.mark.parametrize("workers", [1, 2, 3, 7])
@pytest.mark.parametrize("part_bytes", [7_000, 100_000])
def test_any_number_of_workers_and_any_size_of_part_give_the_same_file(tmp_path, text, reference, workers, part_bytes):
    encode_file(tokenizer(), text, tmp_path / "x", workers=workers, part_bytes=part_bytes)
    assert sha(tmp_path / "x") == reference


@pytest.mark.parametrize("name", list(executors()))
def test_any_executor_gives_the_same_file(tmp_path, text, reference, name):
    with executors()[name]() as executor:
        encode_file(tokenizer(), text, tmp_path / "x", executor=executor, part_bytes=40_000)
    assert sha(tmp_path / "x") == reference


class Backwards(Executor):
    """Does a whole list of tasks from the last to the first, once nothing else is to come."""

    def __init__(self):
        self.left = []

    def submit(self, function, /, *args, **kwargs):
        future = Future()
        self.left.append((future, function, args))
        if len(self.left) == PARTS:
            for future, function, args in reversed(self.left):
                future.set_result(function(*args))
        return self.left[-1][0]


PARTS = 8


def test_parts_that_come_backwards_are_joined_in_order(tmp_path, text, reference):
    with Backwards() as executor:
        encode_file(tokenizer(), text, tmp_path / "x", executor=executor, part_bytes=-(-text.stat().st_size // PARTS))
    assert sha(tmp_path / "x") == reference


def test_parts_are_joined_while_later_ones_are_made_and_the_disk_gets_them(tmp_path, text, reference, monkeypatch):
    encode_part, flushed = parts.encode_part_here, []

    def last_one_waits(job, index, near):
        until = time.monotonic() + 20
        while index == job.parts - 1 and not flushed and time.monotonic() < until:
            time.sleep(0.01)
        return encode_part(job, index, near)

    monkeypatch.setattr("cs336_lib.data.encode.encode_part_here", last_one_waits)
    monkeypatch.setattr(joining, "FLUSHED", 1)
    monkeypatch.setattr(joining, "_let_the_disk_begin", lambda file: flushed.append(os.fstat(file).st_size))
    encode_file(tokenizer(), text, tmp_path / "x", workers=2, part_bytes=50_000)
    assert 0 < flushed[0] < (tmp_path / "x").stat().st_size and flushed == sorted(flushed)
    assert sha(tmp_path / "x") == reference


def test_joining_does_not_wait_for_the_disk(tmp_path, text, reference, monkeypatch):
    """But for the end: a disk that is slow takes what has come meanwhile at its next turn."""
    joined, write, seen = threading.Event(), Joining._write, []

    def notes(self, *given):
        write(self, *given)
        if self._at.parts == self._job.parts:
            joined.set()

    def slow(file):
        seen.append(joined.wait(20))

    monkeypatch.setattr(Joining, "_write", notes)
    monkeypatch.setattr(joining, "FLUSHED", 1)
    monkeypatch.setattr(joining, "_let_the_disk_begin", slow)
    encode_file(tokenizer(), text, tmp_path / "x", workers=2, part_bytes=50_000)
    assert seen and all(seen) and sha(tmp_path / "x") == reference


def test_a_disk_that_fails_while_parts_are_joined_ends_the_run_at_once(tmp_path, text, reference, monkeypatch):
    encode_part, failed, begun = parts.encode_part_here, threading.Event(), []

    def breaks(file):
        failed.set()
        raise OSError(errno.EIO, "Input/output error")

    def waits(job, index, near):
        begun.append(index)
        assert index < 2 or failed.wait(20)
        time.sleep(0.05)
        return encode_part(job, index, near)

    with monkeypatch.context() as patch:
        patch.setattr("cs336_lib.data.encode.encode_part_here", waits)
        patch.setattr(joining, "FLUSHED", 1)
        patch.setattr(joining, "_let_the_disk_begin", breaks)
        with pytest.raises(OSError, match="Input/output error"):
            encode_file(tokenizer(), text, tmp_path / "x", workers=1, part_bytes=10_000)
    assert len(begun) < 10 and not (tmp_path / "x").exists()  # of 30
    done = encode_file(tokenizer(), text, tmp_path / "x", part_bytes=10_000)
    assert 0 < done.encoded_bytes < done.source_bytes and sha(tmp_path / "x") == reference


@pytest.mark.parametrize("made", [True, False])
def test_a_token_file_that_somebody_tidied_up(tmp_path, text, reference, monkeypatch, made):
    """Where nothing can be locked: by a process that has made the same file, or by one that has not."""
    encode_file(tokenizer(), text, tmp_path / "other")
    finish = Joining.finish

    def tidies(self, *arguments):
        for path in (tmp_path / "x.parts").iterdir():
            path.unlink()
        if made:
            (tmp_path / "other").rename(tmp_path / "x")
        return finish(self, *arguments)

    monkeypatch.setattr(Joining, "finish", tidies)
    if made:
        assert encode_file(tokenizer(), text, tmp_path / "x", workers=1, part_bytes=50_000).tokens
        assert sha(tmp_path / "x") == reference and not (tmp_path / "x.parts").exists()
    else:
        with pytest.raises(FileNotFoundError, match=r"somebody else has removed .* in the making, .* run encode"):
            encode_file(tokenizer(), text, tmp_path / "x", workers=1, part_bytes=50_000)
        assert not (tmp_path / "x").exists()


@pytest.mark.parametrize("seconds", [0.3, 60])
def test_a_part_that_a_worker_elsewhere_reports_may_come_into_sight_later(
    tmp_path, text, reference, monkeypatch, seconds
):
    read_part, began = parts.read_part, time.monotonic()

    def late(job, index):
        if time.monotonic() < began + seconds:
            raise FileNotFoundError(errno.ENOENT, "No such file or directory", str(job.path(index)))
        return read_part(job, index)

    monkeypatch.setattr(joining, "read_part", late)
    monkeypatch.setattr(joining, "PATIENCE", 2)
    with ThreadPoolExecutor(1) as executor:
        if seconds < joining.PATIENCE:
            encode_file(tokenizer(), text, tmp_path / "x", executor=executor, part_bytes=50_000)
            assert sha(tmp_path / "x") == reference
        else:
            with pytest.raises(
                FileNotFoundError, match="a worker has written it, and it can't be seen here; put it on storage"
            ):
                encode_file(tokenizer(), text, tmp_path / "x", executor=executor, part_bytes=50_000)


@pytest.mark.parametrize("part_bytes", [500, 5_000, 50_000])
def test_a_disk_that_is_full_at_the_last_byte_is_noticed(tmp_path, text, reference, monkeypatch, part_bytes):
    """What is written stays in a buffer until the file is closed: that, too, must not fail unseen."""

    class Full(io.BufferedWriter):
        def close(self):
            if not self.closed:
                super().close()
                raise OSError(errno.ENOSPC, "No space left on device")

    def opened(path, mode="r", *arguments, **options):
        if mode == "ab" and path.suffix == ".joined":
            return Full(io.FileIO(path, "ab"))
        return usual(path, mode, *arguments, **options)

    usual = Path.open
    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", opened)
        with pytest.raises(OSError, match="finished parts are kept: free some and run encode_file again"):
            encode_file(tokenizer(), text, tmp_path / "x", part_bytes=part_bytes)
    assert not (tmp_path / "x").exists()
    assert encode_file(tokenizer(), text, tmp_path / "x", part_bytes=part_bytes).encoded_bytes == 0
    assert sha(tmp_path / "x") == reference


def test_a_part_or_a_text_that_somebody_removed_is_named(tmp_path, text, monkeypatch):
    encode_part, finish = parts.encode_part, Joining.finish

    def removes(job, index):
        done = encode_part(job, index)
        if index == 1:
            job.path(index).unlink()
        return done

    with monkeypatch.context() as patch:
        patch.setattr("cs336_lib.data.encode.encode_part_here", lambda job, index, near: removes(job, index))
        with pytest.raises(FileNotFoundError, match=r"somebody else has removed it.*00001-\w+\.ids"):
            encode_file(tokenizer(), text, tmp_path / "x", workers=1, part_bytes=50_000)
    monkeypatch.setattr(Joining, "finish", lambda *arguments: text.unlink() or finish(*arguments))
    with pytest.raises(FileNotFoundError, match=r"corpus\.txt"):
        encode_file(tokenizer(), text, tmp_path / "x", part_bytes=50_000)
    assert not (tmp_path / "x").exists()


def test_whoever_is_interrupted_leaves_no_thread_behind(tmp_path, text, monkeypatch):
    started = threading.Thread.start

    def interrupted_after(thread):
        started(thread)
        if thread.name == "join parts":
            raise KeyboardInterrupt

    monkeypatch.setattr(threading.Thread, "start", interrupted_after)
    with pytest.raises(KeyboardInterrupt):
        encode_file(tokenizer(), text, tmp_path / "x", part_bytes=50_000)
    assert not [thread for thread in threading.enumerate() if thread.name == "join parts"]


def test_a_thread_that_nobody_could_tell_keeps_no_process_alive(tmp_path):
    program = (
        "import sys; from data_texts import tokenizer; from cs336_lib.data import encode_file, joining\n"
        "joining.Joining.__exit__ = lambda *arguments: None\n"
        "class Stop(Exception): pass\n"
        "def stops(*arguments): raise Stop\n"
        "import cs336_lib.data.encode as encode; encode.encode_part_here = lambda *a, near: stops()\n"
        "try: encode_file(tokenizer(), sys.argv[1], sys.argv[2])\n"
        "except Stop: print('stopped')\n"
    )
    (tmp_path / "a").write_bytes(prose(30_000))
    done = subprocess.run(
        [sys.executable, "-c", program, tmp_path / "a", tmp_path / "x"],
        cwd=Path(__file__).parent,
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "stopped\n"), done.stderr


@pytest.mark.dist
@pytest.mark.slow
def test_a_dask_client_gives_the_same_file(tmp_path, text, reference):
    distributed = pytest.importorskip("distributed")
    with (
        distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster,
        distributed.Client(cluster) as client,
    ):
        encode_file(tokenizer(), text, tmp_path / "x", executor=client.get_executor(), part_bytes=40_000)
    assert sha(tmp_path / "x") == reference


def test_relative_paths_mean_the_callers_folder(tmp_path, text, reference, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with ThreadPoolExecutor(1) as executor:
        encode_file(tokenizer(), "in/corpus.txt", "x", executor=executor)
    assert sha(tmp_path / "x") == reference


needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="kills processes that it forked")


@needs_fork
@pytest.mark.parametrize("how", ["at random moments", "at every step", "at every step of going on"])
def test_a_killed_run_resumes_to_the_same_file(tmp_path, text, reference, how):
    done = subprocess.run(
        [sys.executable, CRASHES, how, text, tmp_path / "out"],
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [reference]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["in", "out"]


def test_finished_parts_are_not_done_again(tmp_path, text, reference, monkeypatch):
    seen = []
    encode_part = parts.encode_part_here

    def fails_at_the_third(job, index, near):
        if index == 3:
            until = time.monotonic() + 20  # the last before it is being joined
            while not near(index + 1) and time.monotonic() < until:
                time.sleep(0.01)
            raise KeyboardInterrupt
        return encode_part(job, index, near)

    def notes(job, index, near):
        seen.append(index)
        return encode_part(job, index, near)

    monkeypatch.setattr("cs336_lib.data.encode.encode_part_here", fails_at_the_third)
    with pytest.raises(KeyboardInterrupt):
        encode_file(tokenizer(), text, tmp_path / "x", workers=1, part_bytes=50_000)
    assert not (tmp_path / "x").exists()
    monkeypatch.setattr("cs336_lib.data.encode.encode_part_here", notes)
    done = encode_file(tokenizer(), text, tmp_path / "x", workers=1, part_bytes=50_000)
    assert 3 in seen and not {0, 1, 2} & set(seen)
    assert 0 < done.encoded_bytes < done.source_bytes
    assert sha(tmp_path / "x") == reference
    assert not (tmp_path / "x.parts").exists()


def interrupted(monkeypatch, ours, text, out, files=False):
    """Leave all parts behind, each in a file of its own or joined, but no token file."""

    def finish(self, *arguments):
        self._done.result()
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt), ThreadPoolExecutor(2) as pool:
        patch.setattr(Joining, "finish", finish)
        encode_file(ours, text, out, part_bytes=50_000, executor=pool if files else None)
    assert not out.exists()
    folder = out.with_name(out.name + ".parts")
    if files:
        for path in (*folder.glob("*.joined"), *folder.glob("*.log")):
            path.unlink()
    return folder


def test_damaged_parts_are_found_and_only_they_are_done_again(tmp_path, text, reference, monkeypatch):
    folder = interrupted(monkeypatch, tokenizer(), text, tmp_path / "x", files=True)
    for name, damaged in (("00002", lambda raw: raw[:-1] + bytes([raw[-1] ^ 1])), ("00004", lambda raw: b"half")):
        (part,) = folder.glob(f"{name}-*.ids")
        part.write_bytes(damaged(part.read_bytes()))
    done = encode_file(tokenizer(), text, tmp_path / "x", part_bytes=50_000)
    assert 90_000 < done.encoded_bytes < 110_000
    assert sha(tmp_path / "x") == reference


def test_a_part_that_is_damaged_while_later_ones_are_made_costs_that_part_alone(tmp_path, text, reference, monkeypatch):
    encode_part = parts.encode_part

    def damages(job, index):
        done = encode_part(job, index)
        if index == 2:
            path = job.path(index)
            path.write_bytes(path.read_bytes()[:-1] + b"?")
        return done

    with monkeypatch.context() as patch:
        patch.setattr("cs336_lib.data.encode.encode_part_here", lambda job, index, near: damages(job, index))
        with pytest.raises(ValueError, match=r"00002-\w+.ids was damaged and is removed; run encode_file again"):
            encode_file(tokenizer(), text, tmp_path / "x", workers=1, part_bytes=50_000)
    assert not (tmp_path / "x").exists()
    encode_file(tokenizer(), text, tmp_path / "x", part_bytes=50_000)
    assert sha(tmp_path / "x") == reference


@pytest.mark.parametrize("files", [True, False])
@pytest.mark.parametrize("change", ["tokenizer", "text", "part size", "resume=False"])
def test_parts_of_other_work_are_never_used(tmp_path, text, monkeypatch, change, files):
    old = tokenizer([END, "the"]) if change == "tokenizer" else tokenizer()
    interrupted(monkeypatch, old, text, tmp_path / "x", files)
    if change == "text":
        text.write_bytes(text.read_bytes().replace(b"cat", b"dog"))
    done = encode_file(
        tokenizer(), text, tmp_path / "x", part_bytes=60_000 if change == "part size" else 50_000,
        resume=change != "resume=False",
    )  # fmt: skip
    assert done.encoded_bytes == done.source_bytes
    assert TokenFile.open(tmp_path / "x").ids.tolist() == tokenizer().encode(text.read_bytes().decode())


def test_a_token_file_that_is_there_and_right_is_left_alone(tmp_path, text):
    encode_file(tokenizer(), text, tmp_path / "x")
    before = (tmp_path / "x").stat().st_mtime_ns
    done = encode_file(tokenizer(), text, tmp_path / "x")
    assert done.encoded_bytes == 0 and done.tokens > 0 and "there already" in str(done)
    assert (tmp_path / "x").stat().st_mtime_ns == before
    assert encode_file(tokenizer(), text, tmp_path / "x", resume=False).encoded_bytes == done.source_bytes


@pytest.mark.parametrize("change", ["text", "tokenizer", "ids", "length", "empty"])
def test_a_token_file_that_is_there_and_wrong_is_replaced(tmp_path, text, change):
    out = tmp_path / "x"
    encode_file(tokenizer([END, "the"]) if change == "tokenizer" else tokenizer(), text, out)
    raw = out.read_bytes()
    if change == "text":
        text.write_bytes(text.read_bytes().replace(b"cat", b"dog"))
    elif change == "ids":
        out.write_bytes(raw[:-2] + b"\1\0")
    elif change == "length":
        out.write_bytes(raw[:-2])
    elif change == "empty":
        out.write_bytes(b"")
    assert encode_file(tokenizer(), text, out).encoded_bytes == text.stat().st_size
    TokenFile.open(out, tokenizer=tokenizer()).verify()
    assert TokenFile.open(out).ids.tolist() == tokenizer().encode(text.read_bytes().decode())


def test_a_file_of_another_kind_is_not_replaced(tmp_path, text):
    (tmp_path / "keep.txt").write_text("my notes")
    before = sorted(path.name for path in tmp_path.iterdir())
    with pytest.raises(FileExistsError, match=r"keep\.txt is no token file .* would be overwritten; name another file"):
        encode_file(tokenizer(), text, tmp_path / "keep.txt")
    with pytest.raises(FileExistsError, match="is no token file"):
        write_token_file(tmp_path / "keep.txt", [], vocab_size=9, tokenizer_sha256="")
    assert (tmp_path / "keep.txt").read_text() == "my notes"
    assert sorted(path.name for path in tmp_path.iterdir()) == before


@pytest.mark.parametrize("specials", [(), ("<|x|>",)])
@pytest.mark.parametrize("step", [5, 1 << 20])
def test_a_text_with_end_of_text_needs_a_tokenizer_that_knows_it(tmp_path, specials, step):
    (tmp_path / "a").write_bytes(b"Once.\n<|endoftext|>\nTwice.\n")
    with pytest.raises(ValueError, match=r"holds '<\|endoftext\|>' \(at byte 6\).*special_tokens=\['<\|endoftext"):
        encode_file(tokenizer(specials), tmp_path / "a", tmp_path / "b", part_bytes=step)
    assert [p.name for p in tmp_path.iterdir()] == ["a"]


def test_a_text_without_special_tokens_needs_none(tmp_path):
    (tmp_path / "a").write_bytes(b"Once and again")
    assert encode_file(tokenizer(()), tmp_path / "a", tmp_path / "b").tokens == 13  # "in" is one


def test_a_text_that_changes_meanwhile_is_noticed(tmp_path, text, monkeypatch):
    encode_part = parts.encode_part_here

    def writes(job, index, near):
        with job.text_path.open("ab") as file:
            file.write(b"more")
        return encode_part(job, index, near)

    monkeypatch.setattr("cs336_lib.data.encode.encode_part_here", writes)
    with pytest.raises(FileChangedError, match="changed while it was encoded"):
        encode_file(tokenizer(), text, tmp_path / "x")
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize("where", ["here", "elsewhere"])
def test_a_text_that_changes_while_a_part_is_read_leaves_no_part_of_it(tmp_path, text, monkeypatch, where):
    read, status = parts.read_fully, text.stat()

    def while_it_is_written(file, count):
        with text.open("r+b") as other:
            other.write(b"changed")
        os.utime(text, ns=(status.st_atime_ns, status.st_mtime_ns + 1))
        return read(file, count)

    monkeypatch.setattr(parts, "read_fully", while_it_is_written)
    plan = parts.Plan(status.st_size, status.st_mtime_ns, tokenizer().fingerprint, 264, status.st_size)
    job = parts.Job(tokenizer(), text, tmp_path, plan)
    with pytest.raises(FileChangedError, match="changed while it was encoded"):
        parts.encode_part_here(job, 0, lambda index: False) if where == "here" else parts.encode_part(job, 0)
    assert not list(tmp_path.glob("*.ids"))


def test_ids_outside_the_vocabulary_are_an_error(tmp_path, text):
    class Wrong:
        vocab_size, special_tokens, fingerprint = 100, (END,), "ab"

        def encode_to_array(self, data):
            return np.array([5, 100])

    with pytest.raises(ValueError, match="id 100 at place 1, outside a vocabulary of 100"):
        encode_file(Wrong(), text, tmp_path / "x")
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize("dtype", [np.uint16, np.int32, np.int64])
@pytest.mark.parametrize("workers", [1, 4])
def test_a_tokenizer_may_use_the_room_of_its_ids_again(tmp_path, text, dtype, workers):
    class Reusing(Late):
        room = threading.local()

        def encode_to_array(self, data):
            if not hasattr(self.room, "ids"):
                self.room.ids = np.empty(1 << 20, dtype)
            self.room.ids[: len(data)] = np.frombuffer(data, np.uint8)
            return self.room.ids[: len(data)]

    encode_file(Reusing(), text, tmp_path / "x", part_bytes=1_000, workers=workers)
    assert TokenFile.open(tmp_path / "x").ids.astype(np.uint8).tobytes() == text.read_bytes()


class Word(str):
    pass


class Row:
    """A sequence and no more."""

    def __getitem__(self, place):
        return [END][place]

    def __len__(self):
        return 1


ROWS = [[END], (END,), {END}, np.array([END]), [np.str_(END)], [Word(END)], Row()]


@pytest.mark.parametrize("specials", ROWS, ids=lambda row: type(row).__name__)
def test_special_tokens_may_be_any_row_of_strings(tmp_path, text, specials):
    class Own(Late):
        special_tokens = specials

    encode_file(Own(), text, tmp_path / "x")
    assert len(TokenFile.open(tmp_path / "x")) == text.stat().st_size


def test_a_bad_id_in_a_later_part_is_looked_for_there(tmp_path, text):
    class Late:
        vocab_size, special_tokens, fingerprint = 400, (END,), "ab"

        def encode_to_array(self, data):
            return np.array([5, 400 if b"cat" in data else 6])

        cuts_at_words = True

    text.write_bytes(b"dog " * 1_000 + b"a cat " * 10)
    with pytest.raises(ValueError, match=r"corpus.txt from byte 3,9\d\d on has id 400 at place 1, outside"):
        encode_file(Late(), text, tmp_path / "x", part_bytes=990, workers=1)


@pytest.mark.parametrize("what", ["the text", "the folder"])
def test_what_somebody_removed_while_threads_encoded_is_named(tmp_path, text, monkeypatch, what):
    encode_part = parts.encode_part_here

    def removes(job, index, near):
        if index == 2:
            text.unlink() if what == "the text" else shutil.rmtree(job.folder)
        return encode_part(job, index, near)

    monkeypatch.setattr("cs336_lib.data.encode.encode_part_here", removes)
    named = (
        "the text was removed while it was encoded.*corpus.txt" if what == "the text" else "else has removed the tok"
    )
    with pytest.raises(FileNotFoundError, match=named):
        encode_file(tokenizer(), text, tmp_path / "x", workers=1, part_bytes=50_000)


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_worker_that_outlives_its_run_changes_nothing_of_the_next_one(tmp_path, text, reference, monkeypatch, when):
    """It has a part of another tokenizer in hand, and puts it down before or after the same one of the next run."""
    encode_part, late = parts.encode_part, Late()
    job = parts.Job(late, text, tmp_path / "x.parts", plan_of(late, text, 50_000))

    def beside(now, index):
        if when == "before":
            encode_part(job, index)
        done = encode_part(now, index)
        if when == "after":
            encode_part(job, index)
        return done

    monkeypatch.setattr("cs336_lib.data.encode.encode_part", beside)
    encode_file(tokenizer(), text, tmp_path / "x", executor=Here(), part_bytes=50_000)
    assert sha(tmp_path / "x") == reference and not (tmp_path / "x.parts").exists()


@pytest.mark.parametrize(
    ("ids", "message"),
    [
        (np.array([1.9, 2.9]), "must be whole numbers, got float64"),
        ([1.0], "must be whole numbers, got float64"),
        (np.ones((2, 3), int), r"must be a flat row of ids, got an array of shape \(2, 3\)"),
        (np.array([True]), "must be whole numbers, got bool"),
        (None, "must be a row of whole numbers, got None"),
    ],
)
def test_what_is_no_row_of_ids_is_an_error(tmp_path, text, ids, message):
    class Wrong:
        vocab_size, special_tokens, fingerprint = 100, (END,), "ab"

        def encode_to_array(self, data):
            return ids

    with pytest.raises(TypeError, match=r"the encoding of .*corpus\.txt " + message):
        encode_file(Wrong(), text, tmp_path / "x")
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize("ids", [[5, 6], (5, 6), torch.tensor([5, 6]), np.array([5, 6], ">u2")], ids=repr)
def test_any_row_of_whole_numbers_will_do(tmp_path, text, ids):
    class Other:
        vocab_size, special_tokens, fingerprint = np.uint8(100), (END,), np.str_("ab")

        def encode_to_array(self, data):
            return ids

    encode_file(Other(), text, tmp_path / "x", part_bytes=np.int64(1 << 20), workers=np.int64(1))
    assert TokenFile.open(tmp_path / "x").ids.tolist() == [5, 6]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["in", "x"]


@pytest.mark.parametrize("where", ["a part", "the whole"])
def test_a_full_disk_says_what_to_do_and_keeps_finished_parts(tmp_path, text, reference, monkeypatch, where):
    written = []
    replacing, hash_text = parts.replacing, Joining._hash_text

    def full(*args, **kwargs):
        written.append(args)
        if len(written) > 3:
            raise OSError(errno.ENOSPC, "No space left on device")
        return (replacing if where == "a part" else hash_text)(*args, **kwargs)

    with monkeypatch.context() as patch, ThreadPoolExecutor(1) as pool:
        patch.setattr(*((parts, "replacing") if where == "a part" else (Joining, "_hash_text")), full)
        with pytest.raises(OSError, match=r"[1-9] finished parts are kept: free some and run encode") as caught:
            encode_file(
                tokenizer(), text, tmp_path / "x", part_bytes=50_000, workers=1,
                executor=pool if where == "a part" else None,
            )  # fmt: skip
    assert caught.value.errno == errno.ENOSPC
    assert not (tmp_path / "x").exists()
    done = encode_file(tokenizer(), text, tmp_path / "x", part_bytes=50_000)
    assert done.encoded_bytes < done.source_bytes
    assert sha(tmp_path / "x") == reference


@pytest.mark.skipif(shutil.which("unshare") is None, reason="no unshare here")
def test_a_disk_that_is_really_full(tmp_path, text, reference):
    disk = tmp_path / "disk"
    disk.mkdir()
    command = (
        f"mount -t tmpfs -o size=1400k none {disk} && {sys.executable} {CRASHES} 'on a small disk' {text} {disk}/out"
    )
    done = subprocess.run(
        ["unshare", "-rm", "sh", "-c", command], env=ENVIRONMENT, capture_output=True, text=True, check=False
    )
    if "unshare" in done.stderr or "mount:" in done.stderr:
        pytest.skip("no right to mount here")
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["full", reference]


def test_two_processes_never_work_in_one_folder(tmp_path, text, monkeypatch):
    entered, leave = threading.Event(), threading.Event()
    encode_part = parts.encode_part_here

    def waits(job, index, near):
        entered.set()
        leave.wait(30)
        return encode_part(job, index, near)

    monkeypatch.setattr("cs336_lib.data.encode.encode_part_here", waits)
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(encode_file, tokenizer(), text, tmp_path / "x")
        entered.wait(30)
        with pytest.raises(RuntimeError, match="another process is working in"):
            encode_file(tokenizer(), text, tmp_path / "x")
        leave.set()
        assert first.result().tokens


def test_a_folder_of_something_else_is_not_touched(tmp_path, text):
    (tmp_path / "x.parts").mkdir()
    (tmp_path / "x.parts" / "thesis.tex").write_text("precious")
    with pytest.raises(ValueError, match=r"thesis\.tex"):
        encode_file(tokenizer(), text, tmp_path / "x")
    assert [p.name for p in (tmp_path / "x.parts").iterdir()] == ["thesis.tex"]


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"text_path": "nothing"}, FileNotFoundError, "no text file .*nothing"),
        ({"out_path": "nowhere/x"}, FileNotFoundError, "no folder .*nowhere"),
        ({"out_path": "in"}, ValueError, "is a folder or the text itself"),
        ({"out_path": "in/corpus.txt"}, ValueError, "is a folder or the text itself"),
        ({"workers": 0}, ValueError, "workers=0"),
        ({"part_bytes": 0}, ValueError, "part_bytes=0"),
        ({"part_bytes": np.float64(100)}, TypeError, "part_bytes must be a whole number"),
        ({"tokenizer": "gpt2"}, TypeError, "tokenizer is a str without encode_to_array"),
        ({"tokenizer": about(vocab_size=100.0)}, TypeError, "vocab_size must be a whole number, got 100.0"),
        ({"tokenizer": about(vocab_size=2**33)}, ValueError, "vocab_size is 8589934592; it must be 4294967296 or less"),
        (
            {"tokenizer": about(special_tokens=None)},
            TypeError,
            "special_tokens must be a list .*, got None",
        ),
        ({"tokenizer": about(special_tokens=[b"<s>"])}, TypeError, r"special_tokens must be .* got \[b'<s>'\]"),
        ({"tokenizer": about(special_tokens=iter([END]))}, TypeError, "special_tokens must be a list or tuple"),
        ({"tokenizer": about(special_tokens=END)}, TypeError, "special_tokens must be a list .*, got '<|endoftext|>'"),
        ({"tokenizer": about(fingerprint=None)}, TypeError, "tokenizer_sha256 must be text, got None"),
        ({"tokenizer": about(fingerprint="a" * 5_000)}, ValueError, "tokenizer_sha256 is text of 5,000 characters"),
    ],
)
def test_bad_arguments_are_named(tmp_path, text, monkeypatch, change, error, message):
    monkeypatch.chdir(tmp_path)
    arguments = {"tokenizer": tokenizer(), "text_path": "in/corpus.txt", "out_path": "x"} | change
    before = sha(text)
    with pytest.raises(error, match=message):
        encode_file(**arguments)
    assert sha(text) == before
    assert [p.name for p in tmp_path.iterdir()] == ["in"]


def test_progress_is_shown_when_asked_for(tmp_path, text, capsys):
    encode_file(tokenizer(), text, tmp_path / "x")
    assert capsys.readouterr().err == ""
    encode_file(tokenizer(), text, tmp_path / "y", progress=True)
    assert "encode corpus.txt: 100%" in capsys.readouterr().err


@given(st.binary(max_size=50), st.integers(0, 60), st.integers(1, 7))
def test_short_reads_are_gone_on_with(data, count, at_a_time):
    class Slow(io.BytesIO):
        def read(self, size=-1):
            return super().read(min(size, at_a_time))

    assert pieces.read_fully(Slow(data), count) == data[:count]


class _LateFirst(ThreadPoolExecutor):
    """Threads that begin with the first part last."""

    def submit(self, encode, job, index):
        return super().submit(lambda: (time.sleep(0.3 if index == 0 else 0), encode(job, index))[1])


def test_the_first_special_token_that_is_unknown_is_named_whichever_worker_is_quicker(tmp_path):
    (tmp_path / "a").write_bytes(b"Once.\n<|endoftext|>\nTwice.\n" * 50)
    with _LateFirst(4) as pool, pytest.raises(ValueError, match=r"\(at byte 6\)"):
        encode_file(
            tokenizer(()),
            tmp_path / "a",
            tmp_path / "a.tokens",
            executor=pool,
            part_bytes=100,
        )
