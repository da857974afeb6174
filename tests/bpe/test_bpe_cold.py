"""On a machine without compiled kernels nothing waits for a compiler: plain Python begins, and is overtaken if it must.

What would refute it: a cold call that imports numba, prints, or starts a compiler for a small text; other ids or merges
from a text that began in plain Python and ended in the kernels; a kernel that is never taken up.
"""

import os
import subprocess
import sys
from itertools import count

import numpy as np
import pytest
from bpe_corpora import multilingual_text

from cs336_lib.bpe import Tokenizer, train_bpe, training
from cs336_lib.bpe.encoding import choice
from cs336_lib.bpe.encoding.compiled import CompiledEncoder
from cs336_lib.native.library import KernelLibrary

END = "<|endoftext|>"
TEXT = f"{multilingual_text(9_000).decode()}{END}" * 40


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    path = tmp_path_factory.mktemp("cold") / "corpus.txt"
    path.write_bytes((TEXT * (400_000 // len(TEXT.encode()) + 1)).encode())
    return path


@pytest.fixture(scope="module")
def trained(corpus):
    return train_bpe(corpus, 600, [END])


@pytest.fixture
def cold(monkeypatch):
    """No kernels for the first looks; returns what was asked for."""
    prepared, looks = [], count(1)
    ready_from = {"look": 10**9}
    monkeypatch.setattr(KernelLibrary, "is_ready", lambda self: next(looks) >= ready_from["look"])
    monkeypatch.setattr(KernelLibrary, "prepare", lambda self: prepared.append(self.name) or True)
    ready_from["prepared"] = prepared
    return ready_from


def doors(tokenizer, text):
    """Each way to encode a long text, as a list of ids."""
    texts = [text[i : i + 20_000] for i in range(0, len(text), 20_000)]
    yield "list", text, lambda t: t.encode(text)
    yield "array of str", text, lambda t: t.encode_to_array(text).tolist()
    yield "array of bytes", text, lambda t: t.encode_to_array(text.encode(), workers=2).tolist()
    yield "blocks", text, lambda t: np.concatenate(list(t.encode_blocks(text.encode(), block_bytes=50_000))).tolist()
    yield "batch", None, lambda t: t.encode_batch(texts)


@pytest.mark.parametrize("look", [1, 2, 3, 5, 10**9])
def test_a_long_text_that_changes_over_in_the_middle_has_the_same_ids(trained, cold, monkeypatch, look):
    monkeypatch.setattr(choice, "BLOCK", 60_000)
    vocab, merges = trained
    text = TEXT[:300_000]
    expected = CompiledEncoder(Tokenizer(vocab, merges, [END])._vocabulary).encode(text.encode()).tolist()
    for name, whole, encode in doors(None, text):
        cold["look"] = look
        fresh = Tokenizer(vocab, merges, [END])
        ids = encode(fresh)
        if whole is None:
            ids = [token for each in ids for token in each]
            assert fresh.decode(ids) == text, name
        else:
            assert ids == expected, name
        assert (fresh._encoding._compiled is not None) == (look < 10**9), name


def test_a_compiler_is_asked_for_once_plain_python_has_done_enough(trained, cold, monkeypatch):
    monkeypatch.setattr(choice, "WORTH_COMPILING", 1_000_000)
    tokenizer = Tokenizer(*trained, [END])
    tokenizer.encode(TEXT[:300_000])
    assert cold["prepared"] == []
    for _ in range(3):
        tokenizer.encode(TEXT[:300_000])
    assert set(cold["prepared"]) == {"encoding"}


def test_training_is_overtaken_by_the_kernels_and_gives_the_same(corpus, trained, cold, monkeypatch):
    monkeypatch.setattr(training, "_LOOK_SECONDS", 0.0)
    monkeypatch.setattr(training, "_PIECE_BYTES", 50_000)
    for look, compiled in ((3, True), (12, True), (40, True), (10**9, False)):
        cold["look"] = look
        result = train_bpe(corpus, 600, [END])
        assert result.merges == trained.merges and result.vocab == trained.vocab
        assert result.stats.compiled == compiled
    assert set(cold["prepared"]) == {"counting", "merging"}


def test_a_small_text_is_trained_and_encoded_without_a_compiler(tmp_path, corpus):
    small = tmp_path / "small.txt"
    small.write_bytes(corpus.read_bytes()[:140_000])
    script = (
        "import sys; from cs336_lib.bpe import Tokenizer, train_bpe\n"
        f"result = train_bpe({str(small)!r}, 500, [{END!r}])\n"
        f"tokenizer = Tokenizer(*result, [{END!r}])\n"
        f"ids = tokenizer.encode(open({str(small)!r}, encoding='utf-8', errors='surrogateescape').read())\n"
        "print(result.stats.compiled, 'numba' in sys.modules, 'subprocess' in sys.modules, len(ids) > 1000)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "CS336_CACHE_DIR": str(tmp_path / "cache")},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr == "" and done.stdout.split() == ["False", "False", "False", "True"]
    assert not (tmp_path / "cache").exists()
