"""Whole numbers of numpy, one table: each public function does with them what it does with Python's.

numpy's small numbers overflow where Python's go on (`np.uint8(200) + 100`), and JSON knows none of them. What is no
whole number is refused everywhere. A public function that takes whole numbers and is in no row fails the last test.
"""

import inspect
import json
import re
from importlib import import_module

import numpy as np
import pytest
import torch

from cs336_lib.bpe import Tokenizer, train_bpe
from cs336_lib.data import EpochSampler, TokenFile, corpora, encode_file, sample_batch, tales
from cs336_lib.data.own_text import own_text
from cs336_lib.data.token_format import write_token_file
from cs336_lib.generation import SamplingConfig, decode
from cs336_lib.model import KVCache, ModelConfig, TransformerLM
from cs336_lib.optim import Muon, cosine_schedule, wsd_schedule
from cs336_lib.training import (
    RunRecord,
    TrainConfig,
    bits_per_byte,
    chunked_cross_entropy,
    evaluate,
    load_checkpoint,
    save_checkpoint,
)
from cs336_lib.training.checkpoints.run import RunCheckpoints
from cs336_lib.training.checkpoints.snapshot import Snapshot

PLAIN = Tokenizer({i: bytes([i]) for i in range(256)}, [], ["<|endoftext|>"])
SMALL = ModelConfig(vocab_size=257, context_length=128, d_model=16, num_layers=1, num_heads=2)
LM = TransformerLM(SMALL)
IDS = np.arange(1_000) % 250
RUN = TrainConfig(SMALL, steps=4, warmup_steps=1, device="cpu", batch_size=2)
HIDDEN, HEAD, TARGETS = torch.ones(300, 4), torch.eye(9, 4), torch.arange(300) % 9


def generator():
    return torch.Generator().manual_seed(0)


def written(config):
    return [step.token for step in decode(LM, [[1, 2]], config)]


def zero(x, y):
    return torch.tensor(float(y.float().mean()))


def sampled(**numbers):
    sampler = EpochSampler(IDS, **{"batch_size": 2, "context_length": 3, **numbers})
    x, _ = sampler.next("cpu")
    json.dumps(sampler.state_dict())
    return x.tolist(), sampler.state_dict(), sampler.windows


def tokens(folder, **about):
    given = {"vocab_size": 100, "tokenizer_sha256": "ab", **about}
    header = write_token_file(folder / "ids.tokens", [np.arange(9)], **given)
    return header, TokenFile.open(folder / "ids.tokens").ids.tolist()


def encoded(folder, **numbers):
    (folder / "text.txt").write_text("One tale.\n<|endoftext|>\n" * 50)
    return encode_file(PLAIN, folder / "text.txt", folder / "out.tokens", resume=False, **numbers).tokens


def own(folder, monkeypatch, n):
    (folder / "mine.txt").write_text("A line.\n" * 100)
    monkeypatch.setenv("CS336_TEXT", str(folder / "mine.txt"))
    return own_text(folder, n).read_bytes()


def told(folder, write, read):
    record = RunRecord(folder / "run") if (folder / "run").exists() else RunRecord.create(folder / "run", RUN, {})
    write(record)
    return read(record)


def saved(folder, n):
    save_checkpoint(LM, Muon.for_model(LM), n, folder / "c.pt")
    return load_checkpoint(folder / "c.pt", LM)


def kept(folder, n):
    RunCheckpoints(folder / "c").save(Snapshot(n, {"w": torch.ones(1)}, extra={"at": n, "deep": [{"er": n}]}))
    found = RunCheckpoints(folder / "c").load()
    return found.step, found.extra


def cache(**numbers):
    made = KVCache(SMALL, **{"batch_size": 1, **numbers})
    return made.capacity, made.keys.shape


def truncated(n):
    made = KVCache(SMALL, 1)
    with torch.no_grad():
        LM(torch.tensor([[1] * 120]), cache=made)
    made.truncate(n)
    return len(made)


# (function, argument): call of a folder and a number, and a number to call it with
TABLE = {
    ("train_bpe", "vocab_size"): (lambda f, n: len(train_bpe(text(f), n).vocab), 300),
    ("train_bpe", "workers"): (lambda f, n: train_bpe(text(f), 300, workers=n).vocab, 2),
    ("train_bpe", "min_count"): (lambda f, n: train_bpe(text(f), 300, min_count=n).vocab, 100),
    ("Tokenizer.encode_to_array", "workers"): (lambda f, n: PLAIN.encode_to_array("abc", workers=n).tolist(), 2),
    ("Tokenizer.encode_batch", "workers"): (lambda f, n: PLAIN.encode_batch(["abc"], workers=n), 2),
    ("Tokenizer.encode_blocks", "workers"): (lambda f, n: blocks(workers=n), 2),
    ("Tokenizer.encode_blocks", "block_bytes"): (lambda f, n: blocks(block_bytes=n), 100),
    ("tales.story", "seed"): (lambda f, n: tales.story(n, 1).text, 100),
    ("tales.story", "index"): (lambda f, n: tales.story(1, n).text, 100),
    ("tales.entropy", "sampled_stories"): (lambda f, n: tales.entropy(PLAIN, n), 100),
    ("tales.write", "size_bytes"): (lambda f, n: tales.write(f / "t", n, 0).size_bytes, 3_000),
    ("tales.write", "seed"): (lambda f, n: tales.write(f / "t", 3_000, n) and (f / "t").read_text(), 100),
    ("tales.write", "workers"): (lambda f, n: tales.write(f / "t", 3_000, 0, workers=n).stories, 2),
    ("corpora.get", "size_bytes"): (lambda f, n: corpora.get("tales", size_bytes=n).train.name, 5_000),
    ("corpora.get", "seed"): (lambda f, n: corpora.get("tales", size_bytes=5_000, seed=n).train.name, 100),
    ("corpora.peek", "count"): (lambda f, n: len(corpora.peek("tales", n)), 100),
    ("corpora.peek", "seed"): (lambda f, n: corpora.peek("tales", 1, seed=n), 100),
    ("encode_file", "workers"): (lambda f, n: encoded(f, workers=n), 2),
    ("encode_file", "part_bytes"): (lambda f, n: encoded(f, part_bytes=n), 100),
    ("write_token_file", "vocab_size"): (lambda f, n: tokens(f, vocab_size=n), 100),
    ("write_token_file", "source_bytes"): (lambda f, n: tokens(f, source_bytes=n), 100),
    ("TokenFile.open", "vocab_size"): (
        lambda f, n: tokens(f) and TokenFile.open(f / "ids.tokens", vocab_size=n).vocab_size, 100,
    ),
    ("sample_batch", "batch_size"): (
        lambda f, n: sample_batch(IDS, n, 3, "cpu", generator(), world_size=2)[0].tolist(), 100,
    ),
    ("sample_batch", "context_length"): (lambda f, n: sample_batch(IDS, 2, n, "cpu", generator())[0].tolist(), 127),
    ("sample_batch", "rank"): (
        lambda f, n: sample_batch(IDS, 90, 3, "cpu", generator(), rank=n, world_size=4)[0].tolist(), 3,
    ),
    ("sample_batch", "world_size"): (
        lambda f, n: sample_batch(IDS, 100, 3, "cpu", generator(), world_size=n)[0].tolist(), 100,
    ),
    ("EpochSampler", "batch_size"): (lambda f, n: sampled(batch_size=n, world_size=2), 100),
    ("EpochSampler", "context_length"): (lambda f, n: sampled(context_length=n), 127),
    ("EpochSampler", "seed"): (lambda f, n: sampled(seed=n), 100),
    ("EpochSampler", "rank"): (lambda f, n: sampled(batch_size=50, rank=n, world_size=5), 4),
    ("EpochSampler", "world_size"): (lambda f, n: sampled(batch_size=2, world_size=n), 100),
    ("KVCache", "batch_size"): (lambda f, n: cache(batch_size=n), 100),
    ("KVCache", "capacity"): (lambda f, n: cache(capacity=n), 100),
    ("KVCache.truncate", "length"): (lambda f, n: truncated(n), 100),
    ("Muon", "ns_steps"): (lambda f, n: Muon([torch.nn.Parameter(torch.ones(2, 2))], ns_steps=n).defaults, 5),
    ("chunked_cross_entropy", "chunk_size"): (
        lambda f, n: chunked_cross_entropy(HIDDEN, HEAD, TARGETS, n).item(), 127,
    ),
    ("chunked_cross_entropy", "entries"): (
        lambda f, n: chunked_cross_entropy(HIDDEN, HEAD, TARGETS % 4, entries=n).item(), 4,
    ),
    ("bits_per_byte", "ids"): (lambda f, n: bits_per_byte(1.0, [n], PLAIN), 100),
    ("RunRecord.set_status", "step"): (
        lambda f, n: told(f, lambda r: r.set_status("running", n, "", saved=n), lambda r: r.status["step"]), 100,
    ),
    ("RunRecord.finish", "step"): (
        lambda f, n: told(f, lambda r: r.finish(n, 1.0, {"mfu": n}), lambda r: r.status["step"]), 100,
    ),
    ("RunRecord.append", "line"): (
        lambda f, n: told(f, lambda r: r.append({"step": n, "tokens": n}), lambda r: r.metrics()[-1]), 100,
    ),
    ("RunRecord.add_sample", "step"): (
        lambda f, n: told(f, lambda r: r.add_sample(n, "text"), lambda r: r.samples()[-1]), 100,
    ),
    ("RunRecord.rewind", "step"): (
        lambda f, n: told(f, lambda r: (r.append({"step": 100}), r.rewind(n)), lambda r: r.metrics()[-1]), 100,
    ),
    ("save_checkpoint", "iteration"): (saved, 100),
    ("RunCheckpoints.save", "step"): (kept, 100),
    ("evaluate", "context_length"): (lambda f, n: evaluate(zero, IDS, n).loss, 127),
    ("evaluate", "batch_size"): (lambda f, n: evaluate(zero, IDS, 3, batch_size=n).loss, 127),
    ("evaluate", "windows"): (lambda f, n: evaluate(zero, IDS, 3, windows=n).loss, 100),
    ("SamplingConfig", "max_tokens"): (lambda f, n: written(SamplingConfig(max_tokens=n, seed=1)), 100),
    ("SamplingConfig", "top_k"): (lambda f, n: written(SamplingConfig(max_tokens=9, top_k=n, seed=1)), 100),
    ("SamplingConfig", "seed"): (lambda f, n: written(SamplingConfig(max_tokens=9, seed=n)), 100),
    ("decode", "prompts"): (lambda f, n: [s.token for s in decode(LM, [[n]], SamplingConfig(9, seed=1))], 100),
    ("decode", "end"): (lambda f, n: [s.token for s in decode(LM, [[1]], SamplingConfig(99, seed=1), end=n)], 100),
    ("decode", "vocab_size"): (
        lambda f, n: [s.token for s in decode(LM, [[1]], SamplingConfig(9, seed=1), vocab_size=n)], 100,
    ),
    **{
        ("ModelConfig", name): (lambda f, n, name=name: SMALL.replace(**{name: n}).to_dict(), 8)
        for name in ("vocab_size", "context_length", "d_model", "num_layers", "num_heads", "d_ff")
    },
    **{
        ("TrainConfig", name): (lambda f, n, name=name: RUN.replace(**{name: n}).to_json(), 2)
        for name, about in inspect.signature(TrainConfig).parameters.items()
        if about.annotation == "int"
    },
}  # fmt: skip
FRACTIONS = {
    ("cosine_schedule", "step"): (lambda f, n: cosine_schedule(n, 1.0, 0.1, 50, 120), 100),
    ("cosine_schedule", "warmup_steps"): (lambda f, n: cosine_schedule(3, 1.0, 0.1, n, 120), 100),
    ("cosine_schedule", "cosine_steps"): (lambda f, n: cosine_schedule(90, 1.0, 0.1, 50, n), 100),
    ("wsd_schedule", "step"): (lambda f, n: wsd_schedule(n, 1.0, 0.1, 50, 30, 120), 100),
    ("wsd_schedule", "warmup_steps"): (lambda f, n: wsd_schedule(3, 1.0, 0.1, n, 120, 300), 100),
    ("wsd_schedule", "decay_steps"): (lambda f, n: wsd_schedule(250, 1.0, 0.1, 120, n, 300), 100),
    ("wsd_schedule", "total_steps"): (lambda f, n: wsd_schedule(90, 1.0, 0.1, 50, 30, n), 100),
}
"""Counts of steps that may as well be fractions."""


def text(folder):
    (folder / "text.txt").write_text("low low lower lowest " * 30)
    return folder / "text.txt"


def blocks(**numbers):
    return [block.tolist() for block in PLAIN.encode_blocks(b"One tale. " * 50, **numbers)]


@pytest.fixture(autouse=True)
def stores(monkeypatch, tmp_path):
    monkeypatch.setenv("CS336_CACHE_DIR", str(tmp_path))


def result(call, folder, value):
    """What a call gives; the type of its error if it refuses the value."""
    try:
        return call(folder, value)
    except (TypeError, ValueError) as error:
        assert re.search("whole number|integer|number", str(error)), error
        return type(error)


@pytest.mark.parametrize("kind", [np.int64, np.uint8, np.int8, np.array], ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("row", [*TABLE, *FRACTIONS], ids=".".join)
def test_a_number_of_numpy_is_taken_as_pythons(row, kind, tmp_path):
    call, value = (TABLE | FRACTIONS)[row]
    if kind is not np.array and value > np.iinfo(kind).max:
        kind = np.int16
    expected = call(tmp_path, value)
    found = result(call, tmp_path, kind(value))
    assert found == expected
    assert repr(found) == repr(expected), "numpy's numbers are left in it"


@pytest.mark.parametrize("row", TABLE, ids=".".join)
@pytest.mark.parametrize("wrong", ["2", 2.5, 2.0, np.float32(2), True, [2], b"2"], ids=repr)
def test_what_is_no_whole_number_is_refused(row, wrong, tmp_path):
    call, _ = TABLE[row]
    if row == ("bits_per_byte", "ids") and wrong == [2]:
        return  # a row of rows
    assert result(call, tmp_path, wrong) in (TypeError, ValueError)


INTERNAL = {
    *("BPEResult", "Tokenizer", "Evaluation", "Generation", "TokenFile", "distribution"),  # results, or their own rows
    *("TransformerBlock", "MultiHeadSelfAttention", "RotaryEmbedding", "SwiGLU", "SiLUFeedForward", "Linear"),
    *("Embedding", "RMSNorm", "softmax"),  # layers, whose sizes are those of their tensors
}
WITHOUT = {
    *("KVCache.layer", "KVCache.check_room", "KVCache.advance"),  # what a model does with its cache
    *("tales.Entropy", "tales.NotATaleError", "corpora.Description", "Trainer.evaluate"),
}
_WHOLE = re.compile(r"(?<![\w\[.])int(?![\w\]])")


def functions(room):
    """Name and signature of each public function, of each class, and of its methods."""
    module = import_module(f"cs336_lib.{room}")
    for name in module.__all__:
        found = getattr(module, name)
        inside = [(name, found)]
        if inspect.ismodule(found):
            inside = [(f"{name}.{one}", getattr(found, one)) for one in getattr(found, "__all__", ("get", "peek"))]
        elif inspect.isclass(found):
            inside += [(f"{name}.{one}", getattr(found, one)) for one in vars(found) if not one.startswith("_")]
        yield from ((name, found) for name, found in inside if callable(found) and name.split(".")[0] not in INTERNAL)


def test_every_function_that_takes_whole_numbers_is_in_the_table():
    taken = set()
    for room in ("bpe", "data", "model", "optim", "training", "generation"):
        for name, found in functions(room):
            if inspect.isclass(found) and issubclass(found, BaseException):
                continue
            parameters = inspect.signature(found).parameters.values()
            taken |= {(name, one.name) for one in parameters if _WHOLE.search(str(one.annotation).split("=")[0])}
    assert len(taken) > 60
    assert {row for row in taken if row[0] not in WITHOUT} <= TABLE.keys() | FRACTIONS.keys(), "add a row"
