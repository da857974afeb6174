"""Pieces that several threads encode become one array, in order, whatever happens to each."""

import os
import random
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from bpe_texts import small_tokenizer

from cs336_lib.bpe.encoding import compiled
from cs336_lib.bpe.encoding.compiled import CompiledEncoder
from cs336_lib.bpe.encoding.gathering import Gathering
from cs336_lib.bpe.encoding.workspace import Workspace
from cs336_lib.bpe.vocabulary import Vocabulary


@pytest.mark.parametrize("threads", [1, 2, 5])
@pytest.mark.parametrize("expected", [0, 1, 5000])
@pytest.mark.parametrize("seed", range(5))
def test_pieces_come_in_order_however_long_each_takes(threads, expected, seed):
    chooser = random.Random(seed)
    pieces = [np.full(chooser.choice([0, 1, 3, 400]), number, np.int32) for number in range(60)]
    pauses = [chooser.choice([0, 0, 0.001]) for _ in pieces]
    gathering = Gathering(pieces, expected)

    def fill() -> None:
        memory = np.empty(400, np.int32)
        for number, piece in gathering.pieces():
            time.sleep(pauses[number])
            memory[: len(piece)] = piece
            gathering.put(number, memory[: len(piece)])
            memory[:] = -1  # the caller's again

    with ThreadPoolExecutor(threads) as pool:
        for done in [pool.submit(fill) for _ in range(threads)]:
            done.result()
    assert gathering.ids().tolist() == np.concatenate(pieces).tolist()


def test_the_array_moves_only_when_nobody_writes_to_it(monkeypatch):
    # The first piece is slowly written while the second needs a larger array.
    gathering = Gathering([0, 1], 4)
    began, go_on = threading.Event(), threading.Event()
    concatenate = np.concatenate

    def slow(found, out):
        if out[:0].size == 0 and len(out) == 3:
            began.set()
            go_on.wait(5)
        return concatenate(found, out=out)

    monkeypatch.setattr(np, "concatenate", slow)
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(gathering.put, 0, np.array([1, 2, 3], np.int32))
        assert began.wait(5)
        second = pool.submit(gathering.put, 1, np.arange(100, dtype=np.int32))
        time.sleep(0.05)
        assert not second.done()
        go_on.set()
        first.result(), second.result()
    assert gathering.ids().tolist() == [1, 2, 3, *range(100)]


def test_no_piece_is_taken_after_a_stop():
    gathering = Gathering(range(10), 0)
    taken = gathering.pieces()
    assert next(taken) == (0, 0)
    gathering.stop()
    assert list(taken) == [] and list(gathering.pieces()) == []


def test_who_waits_for_room_waits_no_longer_after_a_stop(monkeypatch):
    # A thread that was interrupted while it wrote never says that it is done.
    gathering = Gathering([0, 1], 4)
    gathering.put(0, np.array([1, 2, 3], np.int32))
    gathering._writing = 1
    with ThreadPoolExecutor(1) as pool:
        waits = pool.submit(gathering.put, 1, np.arange(100, dtype=np.int32))
        time.sleep(0.05)
        assert not waits.done()
        gathering.stop()
        waits.result(5)


def shared(monkeypatch, size: int) -> CompiledEncoder:
    monkeypatch.setattr(compiled, "JOB_BYTES", size)
    tokenizer = small_tokenizer()
    return CompiledEncoder(Vocabulary(tokenizer.vocab, tokenizer.merges, tokenizer.special_tokens))


@pytest.mark.parametrize("workers", [2, 3, 16])
@pytest.mark.parametrize("size", [1, 10, 1000, 10**6])
def test_ids_are_those_of_one_thread(monkeypatch, workers, size):
    encoder = shared(monkeypatch, size)
    data = " the cat, the mat; caf\u00e9 42\n".encode() * 40
    assert encoder.encode(data, workers).tolist() == encoder.encode(data).tolist()


def test_an_error_in_any_thread_ends_all_and_is_raised(monkeypatch):
    encoder = shared(monkeypatch, 100)
    data = b" the cat, the mat" * 2000
    encode_here, calls = Workspace.encode_here, []

    def fails(self, text, start, end):
        calls.append(start)
        if len(calls) == 20:
            raise MemoryError("no more")
        return encode_here(self, text, start, end)

    monkeypatch.setattr(Workspace, "encode_here", fails)
    with pytest.raises(MemoryError, match="no more"):
        encoder.encode(data, 3)
    assert len(calls) < 40, "the others went on to the end"
    monkeypatch.undo()
    assert encoder.encode(data, 3).tolist() == encoder.encode(data).tolist()


def test_only_threads_that_cannot_be_interrupted_take_pieces(monkeypatch):
    # Between a lock that was taken and what it is for, an interrupt in a program's first thread leaves it taken.
    encoder, names = shared(monkeypatch, 100), set()
    pieces = Gathering.pieces

    def noted(self):
        names.add(threading.current_thread() is threading.main_thread())
        return pieces(self)

    monkeypatch.setattr(Gathering, "pieces", noted)
    encoder.encode(b" the cat, the mat" * 100, 2)
    assert names == {False}


INTERRUPTED = """
import faulthandler, os, random, signal, threading, time
from cs336_lib.bpe import Tokenizer
from cs336_lib.bpe.encoding.workspace import KERNELS
KERNELS.load()
tokenizer = Tokenizer({i: bytes([i]) for i in range(256)} | {256: b"th", 257: b"the"}, [(b"t", b"h"), (b"th", b"e")])
text, chooser = b"the cat sat on the mat, " * 300_000, random.Random(1)
expected = tokenizer.encode_to_array(text)
faulthandler.dump_traceback_later(60, exit=True)
end, interrupted = time.monotonic() + 8, 0
while time.monotonic() < end:
    timer = threading.Timer(chooser.random() * 0.03, os.kill, (os.getpid(), signal.SIGINT))
    try:
        timer.start()
        tokenizer.encode_to_array(text, workers=4)
        timer.join()
    except KeyboardInterrupt:
        interrupted += 1
    while timer.is_alive():
        try:
            timer.join()
        except KeyboardInterrupt:
            pass
try:
    time.sleep(0.1)
except KeyboardInterrupt:
    pass
assert interrupted > 20, interrupted
assert (tokenizer.encode_to_array(text, workers=4) == expected).all()
print("alive", threading.active_count())
"""


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="sends itself SIGINT")
def test_interrupts_leave_nobody_waiting():
    done = subprocess.run([sys.executable, "-c", INTERRUPTED], capture_output=True, text=True, timeout=120)
    assert done.stdout.strip() == "alive 1", done.stdout + done.stderr
