"""Wrong inputs, one table: every public function says in words of its own what was wrong, what is allowed, what to do.

A row is a call and the type and text of its error. A public name that is in no row, and not among those that check
nothing, fails the last test: whoever adds a function adds its rows.
"""

import inspect
import io
import json
import re
from importlib import import_module

import numpy as np
import pytest
import torch

from cs336_lib import accounting
from cs336_lib.bpe import TextRules, Tokenizer, train_bpe
from cs336_lib.data import EpochSampler, TokenFile, corpora, encode_file, sample_batch, tales
from cs336_lib.data.token_format import write_token_file
from cs336_lib.generation import SamplingConfig, decode, distribution, generate, stream
from cs336_lib.model import ModelConfig, TransformerLM
from cs336_lib.optim import SGD, AdamW, Muon, clip_grad_norm, cosine_schedule, wsd_schedule
from cs336_lib.training import (
    PreparedCorpus,
    RunRecord,
    TrainConfig,
    Trainer,
    bits_per_byte,
    evaluate,
    load_checkpoint,
    prepare,
    save_checkpoint,
)

BYTES = {i: bytes([i]) for i in range(256)}
PLAIN = Tokenizer(BYTES, [], ["<|endoftext|>"])
GAPS = Tokenizer(BYTES | {300: b"ab"}, [(b"a", b"b")], rules=TextRules(gaps=True))
SMALL = ModelConfig(vocab_size=257, context_length=8, d_model=16, num_layers=1, num_heads=2)
TINY = ModelConfig(vocab_size=11, context_length=8, d_model=16, num_layers=1, num_heads=2)
LM = TransformerLM(SMALL)
IDS = np.arange(100) % 11
RUN = TrainConfig(TINY, data="counting", steps=4, warmup_steps=1, device="cpu", batch_size=2)
FOUR = accounting.Cluster("four", 4, 2.0, "an example")
NO_MODEL = "cfg must be a ModelConfig, got 'gpt2-xl'"
V, T, F, E = ValueError, TypeError, FileNotFoundError, FileExistsError


def zero(x, y):
    return torch.tensor(0.0)


def penalized(seen, rows=1, penalty=2.0):
    return distribution(torch.zeros(rows, 5), SamplingConfig(repetition_penalty=penalty), seen)


def sampler_at(**place):
    sampler = EpochSampler(IDS, 2, 8)
    sampler.load_state_dict({**sampler.state_dict(), **place})


def parameters_of(value):
    return inspect.signature(value).parameters if inspect.isfunction(value) else {}


def weight():
    return [torch.nn.Parameter(torch.zeros(3, 3))]


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A folder with files of every kind."""
    folder = tmp_path_factory.mktemp("home")
    (folder / "text.txt").write_text("The cat sat on the mat. " * 50)
    (folder / "empty.txt").write_text("")
    (folder / "packed.txt").write_bytes(b"\x1f\x8b\x08" + bytes(100))
    (folder / "wide.txt").write_bytes("\ufeffcats".encode("utf-16-le"))
    (folder / "pointer.txt").write_bytes(b"version https://git-lfs.github.com/spec/v1\noid sha256:00\n")
    (folder / "torn.json").write_text('{"a": ')
    (folder / "list.json").write_text("[1]")
    (folder / "other.json").write_text(json.dumps({"architectures": ["Llama"]}))
    (folder / "folder").mkdir()
    (folder / "torn.pt").write_bytes(b"PK\x03\x04" + bytes(40))
    (folder / "llm.bin").write_bytes(np.array([20240520, 1, 1000] + [0] * 253, "<i4").tobytes() + bytes(2000))
    (folder / "a.safetensors").write_bytes((20).to_bytes(8, "little") + b'{"w":{}}            ' + bytes(8))
    write_token_file(folder / "good.tokens", [np.arange(50)], vocab_size=257, tokenizer_sha256="ab")
    raw = (folder / "good.tokens").read_bytes()
    (folder / "altered.tokens").write_bytes(raw[:-4] + b"\1\0\2\0")
    (folder / "short.tokens").write_bytes(raw[:-1])
    RunRecord.create(folder / "run", RUN, {})
    return folder


# name of the function: (call of the folder, error, text of it)
TABLE = {
    "train_bpe": [
        (lambda h: train_bpe(h / "none.txt", 300), F, "none.txt' does not exist"),
        (lambda h: train_bpe(h / "folder", 300), IsADirectoryError, "is a folder"),
        (lambda h: train_bpe(h / "empty.txt", 300), V, "is empty"),
        (lambda h: train_bpe(h / "packed.txt", 300), V, "is gzip, not text: unpack"),
        (lambda h: train_bpe(h / "wide.txt", 300), V, "is in UTF-16: convert"),
        (lambda h: train_bpe(h / "pointer.txt", 300), V, "pointer of Git LFS.*git lfs pull"),
        (lambda h: train_bpe(["a.txt"], 300), T, "input_path must be a path"),
        (lambda h: train_bpe("the text itself\n" * 500, 300), V, "input_path .*is the text itself"),
        (lambda h: train_bpe(h / "text.txt", 100), V, "vocab_size 100 is too small"),
        (lambda h: train_bpe(h / "text.txt", "300"), T, "vocab_size must be an integer, got '300'"),
        (lambda h: train_bpe(h / "text.txt", 300, "<s>"), T, r"write \['<s>'\]"),
        (lambda h: train_bpe(h / "text.txt", 300, 5), T, r"must be a list of strings, got 5; write \[\] for none"),
        (lambda h: train_bpe(h / "text.txt", 300, {"<s>"}), T, "is a set, which has no order"),
        (lambda h: train_bpe(h / "text.txt", 300, {"<s>": 5}), T, "is a mapping to ids"),
        (lambda h: train_bpe(h / "text.txt", 300, [b"<s>"]), T, r"special_tokens\[0\] must be a string"),
        (lambda h: train_bpe(h / "text.txt", 300, ["a", "a"]), V, "given twice"),
        (lambda h: train_bpe(h / "text.txt", 300, workers=0), V, "workers must be 1 or more"),
        (lambda h: train_bpe(h / "text.txt", 300, min_count=0), V, "min_count must be 1"),
    ],
    "Tokenizer": [
        (lambda h: Tokenizer([b"a"], []), T, "vocab must map ids to bytes"),
        (lambda h: Tokenizer({0: b"a"}, []), V, "vocab lacks 255 of the 256 single bytes"),
        (lambda h: Tokenizer(BYTES | {300: b"ab"}, []), V, "vocab has a hole"),
        (lambda h: Tokenizer(BYTES | {256: "ab"}, []), T, r"vocab\[256\] must be bytes"),
        (lambda h: Tokenizer(BYTES | {"a": b"ab"}, []), T, "has the key 'a'"),
        (lambda h: Tokenizer(BYTES | {256: b"a"}, []), V, "vocab holds b'a' twice, as ids 97 and 256"),
        (lambda h: Tokenizer(BYTES, [(b"a", b"b")]), V, "its result b'ab' is not in the vocabulary"),
        (lambda h: Tokenizer(BYTES, None), T, "merges must be pairs of bytes, got NoneType"),
        (lambda h: Tokenizer(BYTES, []).encode_to_array("a", workers="2"), T, "workers must be an integer, got '2'"),
        (lambda h: Tokenizer(BYTES, []).encode_to_array("a", workers=1.5), T, "workers must be an integer, got 1.5"),
        (lambda h: Tokenizer(BYTES, []).encode_batch(["a"], workers=None), T, "workers must be an integer, got None"),
        (lambda h: list(Tokenizer(BYTES, []).encode_iterable(None)), T, "encode_iterable takes strings or bytes"),
        (lambda h: Tokenizer(BYTES, ["a b"]), T, r"merges\[0\] must be a pair of bytes"),
        (lambda h: Tokenizer(BYTES, [], "<s>"), T, r"special_tokens must be .*write \['<s>'\]"),
        (lambda h: Tokenizer(BYTES, [], {"<s>": 9}), V, "can't have the id 9"),
        (lambda h: Tokenizer(BYTES, [], [""]), V, "empty string"),
        (lambda h: Tokenizer(BYTES, [], pattern=""), V, "pattern is empty"),
        (lambda h: Tokenizer(BYTES, [], pattern="("), V, "is none of the regex package"),
        (lambda h: Tokenizer(BYTES, [], pattern=3), T, "pattern must be a string"),
        (lambda h: Tokenizer(BYTES, [], rules={"nfc": True}), T, "rules must be TextRules"),
        (lambda h: PLAIN.encode(b"a"), T, "must be str, got bytes; for bytes use encode_to_array"),
        (lambda h: PLAIN.encode(None), T, "must be str, got NoneType"),
        (lambda h: PLAIN.encode("\ud800"), V, "lone surrogate"),
        (lambda h: PLAIN.encode_batch("ab"), T, "takes a list of strings"),
        (lambda h: PLAIN.encode_batch(["a", 1]), T, "must be str, got int"),
        (lambda h: PLAIN.encode_batch(3), T, "encode_batch takes a list of strings, got int"),
        (lambda h: PLAIN.encode_to_array(np.array([1, 2])), T, "array of ids"),
        (lambda h: PLAIN.encode_to_array("a", workers=0), V, "workers must be at least 1, got 0"),
        (lambda h: list(PLAIN.encode_blocks(b"a", block_bytes=0)), V, "block_bytes is 0; it must be 1 or more"),
        (lambda h: list(PLAIN.encode_blocks("hi")), T, "encode_blocks takes bytes, got str; .*use encode_to_array"),
        (lambda h: list(PLAIN.encode_blocks(3)), T, "the text to encode must be bytes, got int"),
        (lambda h: Tokenizer(BYTES, [], 5), T, "special_tokens must be a list of strings, got 5"),
        (lambda h: list(PLAIN.encode_iterable(b"ab")), T, r"write \[data\]"),
        (lambda h: list(PLAIN.encode_iterable([1])), T, "a chunk must be a string or bytes"),
        (lambda h: PLAIN.decode("ab"), T, "decode takes token ids"),
        (lambda h: PLAIN.decode(3), T, r"write \[3\]"),
        (lambda h: PLAIN.decode([1.5]), T, r"ids\[0\] must be an integer"),
        (lambda h: PLAIN.decode([-1]), V, "is not in the vocabulary"),
        (lambda h: PLAIN.decode([999]), V, r"ids\[0\] = 999 is not in the vocabulary, whose ids are 0 to 256"),
        (lambda h: Tokenizer.from_folder(h / "folder"), F, "is no tokenizer, for it has no tokenizer_config.json"),
        (lambda h: Tokenizer.from_files(h / "none", h / "none"), F, "there is no file .*none"),
        (lambda h: Tokenizer.from_files(h / "torn.json", h / "text.txt"), V, "text.txt, line 1"),
        (lambda h: Tokenizer.from_files(h / "torn.json", h / "empty.txt"), V, "torn.json is not JSON"),
        (lambda h: Tokenizer.from_files(h / "list.json", h / "empty.txt"), V, "list.json must hold one JSON object"),
        (lambda h: Tokenizer.from_files(h / "pointer.txt", h / "empty.txt"), V, "pointer of Git LFS"),
        (lambda h: Tokenizer.from_hf_json(h / "none.json"), F, "none.json is not there"),
        (lambda h: Tokenizer.from_hf_json(h / "empty.txt"), V, "empty.txt is empty"),
        (lambda h: Tokenizer.from_hf_json(h / "other.json"), V, "not a tokenizer.json with a BPE model"),
        (lambda h: Tokenizer.from_tiktoken_ranks(h / "text.txt"), V, "text.txt, line 1: expected a token in base64"),
        (lambda h: Tokenizer.from_tiktoken_ranks(h / "none"), F, "none is not there"),
        (lambda h: PLAIN.save(h / "text.txt"), E, "text.txt.* is a file"),
    ],
    "TextRules": [(lambda h: TextRules(nfc="yes"), T, "nfc must be True or False, got 'yes'")],
    "encode_file": [
        (lambda h: encode_file(None, h / "text.txt", h / "o"), T, "is a NoneType without encode_to_array"),
        (lambda h: encode_file(PLAIN, h / "none.txt", h / "o"), F, "no text file"),
        (lambda h: encode_file(PLAIN, h / "folder", h / "o"), F, "no text file"),
        (lambda h: encode_file(PLAIN, h / "packed.txt", h / "o"), V, "packed.txt is gzip, not text"),
        (lambda h: encode_file(PLAIN, h / "text.txt", h / "no" / "o"), F, "no folder .*to write 'o' into"),
        (lambda h: encode_file(PLAIN, h / "text.txt", h / "folder"), V, "is a folder or the text itself"),
        (lambda h: encode_file(PLAIN, h / "text.txt", h / "text.txt"), V, "is a folder or the text itself"),
        (lambda h: encode_file(PLAIN, h / "text.txt", h / "o", workers=0), V, "workers=0 must be at least 1"),
        (lambda h: encode_file(PLAIN, h / "text.txt", h / "o", workers=1.5), T, "workers must be a whole number"),
        (lambda h: encode_file(PLAIN, h / "text.txt", h / "o", part_bytes=0), V, "part_bytes=0 must be at least 1"),
    ],
    "TokenFile": [
        (lambda h: TokenFile.open(h / "none"), F, "no file .*none'"),
        (lambda h: TokenFile.open(h / "text.txt"), V, "is no token file"),
        (lambda h: TokenFile.open(h / "short.tokens"), V, "cut short"),
        (lambda h: TokenFile.open(h / "altered.tokens"), V, "do not match their hash; delete it and encode"),
        (lambda h: TokenFile.open(h / "good.tokens", tokenizer=PLAIN), V, "was made by tokenizer ab"),
        (lambda h: TokenFile.open(h / "good.tokens", vocab_size=9), V, "has ids for a vocabulary of 257"),
        (lambda h: TokenFile.open(h / "good.tokens", dtype="uint32"), V, "holds uint16"),
        (lambda h: TokenFile.open(h / "good.tokens", tokenizer="gpt2"), T, "must be a cs336_lib.bpe.Tokenizer"),
        (lambda h: TokenFile.open(h / "good.tokens", vocab_size="x"), T, "vocab_size must be a whole number, got 'x'"),
        (lambda h: TokenFile.open(h / "llm.bin", dtype="uint16"), V, "llm.c .*first 1,024 bytes are no ids"),
        (lambda h: TokenFile.open(h / "a.safetensors", dtype="uint16"), V, "is a safetensors file"),
        (lambda h: TokenFile.open(h / "torn.pt", dtype="uint16"), V, "is a zip archive"),
        (lambda h: TokenFile.open(h / "packed.txt", dtype="uint16"), V, "packed.txt is gzip"),
        (lambda h: TokenFile.open(h / "pointer.txt", dtype="uint16"), V, "is a pointer of Git LFS"),
        (lambda h: TokenFile.open(h / "text.txt", dtype="float32"), V, "ids are integers"),
        (lambda h: TokenFile.open(h / "text.txt", dtype="ids"), V, "is no type of numpy"),
        (lambda h: TokenFile.open(h / "torn.json", dtype="uint32"), V, "no whole number of uint32 ids"),
    ],
    "sample_batch": [
        (lambda h: sample_batch([1, 2, 3], 1, 2, "cpu"), T, "must be a TokenFile, a numpy array or a torch tensor"),
        (lambda h: sample_batch(IDS * 0.5, 1, 2, "cpu"), T, "flat row of integers"),
        (lambda h: sample_batch(IDS, 0, 2, "cpu"), V, "batch_size=0 must be at least 1"),
        (lambda h: sample_batch(IDS, 2, 200, "cpu"), V, "too few for context_length=200"),
        (lambda h: sample_batch(IDS, 1.5, 2, "cpu"), T, "batch_size must be a whole number, got 1.5"),
        (lambda h: sample_batch(IDS, 1, "8", "cpu"), T, "context_length must be a whole number, got '8'"),
        (lambda h: sample_batch(IDS, 1, 2, "cpu", rank=2, world_size=2), V, "rank=2 must be from 0 to 1"),
    ],
    "EpochSampler": [
        (lambda h: EpochSampler(IDS, 2, 8, seed=-1), V, "seed=-1 must be 0 or more"),
        (lambda h: EpochSampler(IDS, 0, 8), V, "batch_size=0 must be at least 1"),
        (lambda h: EpochSampler(IDS, 2, 8, seed=1.5), T, "seed must be a whole number, got 1.5"),
        (lambda h: EpochSampler(IDS, 2, 8, rank=0.0), T, "rank must be a whole number, got 0.0"),
        (lambda h: EpochSampler(IDS, 2, 8).load_state_dict({}), V, "a sampler's state has seed"),
        (lambda h: EpochSampler(IDS, 2, 8).load_state_dict(None), V, "a sampler's state has seed.* this has None"),
        (lambda h: sampler_at(position=1.5), T, "position must be a whole number, got 1.5"),
        (lambda h: sampler_at(epoch=True), T, "epoch must be a whole number, got True"),
        (lambda h: sampler_at(seed=None), T, "seed must be a whole number, got None"),
        (lambda h: sampler_at(position=99), V, "no sampler of 12 windows can stand at .*position=99"),
    ],
    "corpora": [
        (lambda h: corpora.get("no-such-corpus"), F, "it must be one of tales"),
        (lambda h: corpora.get(h / "packed.txt"), V, "packed.txt is gzip, not text"),
        (lambda h: corpora.get(h / "text.txt", size_bytes=5), V, 'only "tales" comes in any size'),
        (lambda h: corpora.get(h / "folder"), F, r"has no \*train\*.txt"),
        (lambda h: corpora.get(None), T, "a corpus is a name or the path of a text file, got None"),
        (lambda h: corpora.peek(["a"]), T, "a corpus is a name or the path of a text file, got"),
        (lambda h: corpora.valid_text(["a"]), corpora.CorpusError, "no corpus has the name"),
        (lambda h: corpora.valid_text("foo"), corpora.CorpusError, "the name 'foo'; allowed: tales, tiny"),
        (lambda h: corpora.peek("tales", 0), V, "count=0 must be at least 1"),
        (lambda h: corpora.peek("tales", split="test"), V, "split='test' must be one of"),
    ],
    "tales": [
        (lambda h: tales.story(-1, 0), V, "seed=-1 must be from 0"),
        (lambda h: tales.story("0", 1), T, "seed must be a whole number, got '0'"),
        (lambda h: tales.story(0.5, 1), T, "seed must be a whole number, got 0.5"),
        (lambda h: tales.story(0, 1.0), T, "index must be a whole number, got 1.0"),
        (lambda h: tales.story(2**64, 0), V, r"seed=18446744073709551616 must be from 0 to 2\*\*64 - 1"),
        (lambda h: tales.story(0, 0, "test"), V, "split='test' must be one of"),
        (lambda h: tales.write(h / "t", 5_000.5, 0), T, "size_bytes must be a whole number"),
        (lambda h: tales.write(h / "t", 5_000, 0, workers=1.5), T, "workers must be a whole number"),
        (lambda h: tales.log_prob("no story"), V, "leaves the grammar at byte 0"),
        (lambda h: tales.write(h / "t", 0, 0), V, "size_bytes=0 must be positive"),
    ],
    "ModelConfig": [
        (lambda h: ModelConfig(0, 8, 16, 1, 2), V, "vocab_size is 0; it must be a positive whole number"),
        (lambda h: ModelConfig(9, 8, 15, 1, 2), V, "does not divide d_model"),
        (lambda h: ModelConfig(9, 8, 6, 1, 2), V, "RoPE turns pairs"),
        (lambda h: SMALL.replace(norm_eps=10**400), V, "norm_eps is 10+; it must be a positive number"),
        (lambda h: SMALL.replace(rope_theta=10**400), V, "rope_theta is 10+; it must be a positive number"),
        (lambda h: SMALL.replace(norm="batch"), V, "norm is 'batch'; allowed"),
        (lambda h: ModelConfig.preset("gpt5"), V, "unknown preset 'gpt5'"),
        (lambda h: ModelConfig.from_dict({"n_layers": 1}), V, "unknown key 'n_layers'"),
    ],
    "TransformerLM": [
        (lambda h: LM(torch.zeros(1, 9, dtype=torch.long)), V, "9 .*context"),
        (lambda h: LM(torch.zeros(8, dtype=torch.long)), V, "ids have shape"),
        (lambda h: LM(torch.zeros(1, 4)), T, "ids must be integers"),
    ],
    "SGD": [
        (lambda h: SGD(weight(), lr=-1), V, "lr is -1; it must be 0 or more"),
        (lambda h: SGD(weight(), lr="high"), T, "lr must be a number, got 'high'"),
        (lambda h: SGD(weight()).load_state_dict(AdamW(weight()).state_dict()), V, "have betas, eps, weight_decay"),
        (lambda h: SGD(weight()).load_state_dict({}), V, "no optimizer's state dict"),
    ],
    "AdamW": [
        (lambda h: AdamW(weight(), lr=-1), V, "lr is -1; it must be 0 or more"),
        (lambda h: AdamW(weight(), betas=(1.0, 0.9)), V, "beta1 is 1.0"),
        (lambda h: AdamW(weight(), betas=(0.9,)), V, r"betas are \(0.9,\); they must be two, .*write \(0.9, 0.999\)"),
        (lambda h: AdamW(weight(), betas=(0.9, 0.9, 0.9)), V, "they must be two"),
        (lambda h: AdamW([{"params": weight(), "betas": np.array([0.9])}]), V, "they must be two"),
        (lambda h: AdamW(weight(), betas=0.9), T, "betas must be two numbers, got 0.9"),
        (lambda h: AdamW(weight(), betas=(0.9, None)), T, "beta2 must be a number, got None"),
        (lambda h: AdamW(weight(), lr=None), T, "lr must be a number, got None"),
        (lambda h: AdamW(weight(), eps="1"), T, "eps must be a number, got '1'"),
        (lambda h: AdamW(weight(), decay_order="middle"), V, "decay_order is 'middle'; allowed"),
        (lambda h: AdamW(weight()).load_state_dict([]), V, "no optimizer's state dict"),
    ],
    "Muon": [
        (lambda h: Muon(weight(), momentum=1.0), V, "momentum is 1.0"),
        (lambda h: Muon(weight(), momentum="x"), T, "momentum must be a number, got 'x'"),
        (lambda h: Muon(weight(), betas=(0.9,)), V, "they must be two"),
        (lambda h: Muon([torch.nn.Parameter(torch.zeros(3))]), V, "is no matrix"),
        (lambda h: Muon(weight(), scale="x"), V, "scale is 'x'; allowed"),
    ],
    "clip_grad_norm": [
        (lambda h: clip_grad_norm(weight(), -1.0), V, "max_norm is -1.0; it must be positive"),
        (lambda h: clip_grad_norm(weight(), "1"), T, "max_norm must be a number, got '1'"),
    ],
    "cosine_schedule": [
        (lambda h: cosine_schedule(-1, 1.0, 0.1, 2, 4), V, "step is -1 and warmup_steps 2; both must be 0"),
        (lambda h: cosine_schedule(1, "x", 0.1, 2, 4), T, "max_lr must be a number, got 'x'"),
        (lambda h: cosine_schedule("1", 1.0, 0.1, 2, 4), T, "step must be a number, got '1'"),
    ],
    "wsd_schedule": [
        (lambda h: wsd_schedule(1, 1.0, 0.1, 3, 3, 4), V, "decay_steps = 6 do not fit in total_steps = 4"),
        (lambda h: wsd_schedule(1, 1.0, 0.1, 3, None, 4), T, "decay_steps must be a number, got None"),
    ],
    "bits_per_byte": [
        (lambda h: bits_per_byte(1.0, [], PLAIN), V, "no tokens"),
        (lambda h: bits_per_byte(1.0, [500], PLAIN), V, "the ids go from 500 to 500"),
        (lambda h: bits_per_byte(1.0, [70, 299], GAPS), V, "the id 299 is a gap: the tokenizer has no token of that"),
        (lambda h: bits_per_byte(1.0, [1.5], PLAIN), T, "ids must be whole numbers, got float64"),
        (lambda h: bits_per_byte(1.0, IDS * 1.0, PLAIN), T, "ids must be whole numbers, got float64"),
        (lambda h: bits_per_byte(1.0, IDS == 1, PLAIN), T, "ids must be whole numbers, got bool"),
        (lambda h: bits_per_byte(1.0, "ab", PLAIN), T, "ids must be a row of whole numbers, got 'ab'"),
        (lambda h: bits_per_byte(1.0, 5, PLAIN), T, "ids must be a row of whole numbers, got 5"),
    ],
    "TrainConfig": [
        (lambda h: RUN.replace(batch_size=0), V, "batch_size is 0; it must be a whole number, 1 or more"),
        (lambda h: RUN.replace(seed=10**23), V, r"seed is 10+; it must be less than 2\*\*63"),
        (lambda h: RUN.replace(lr=10**400), V, "lr is 10+; it must be a number"),
        (lambda h: RUN.replace(lr=float("nan")), V, "lr is nan"),
        (lambda h: RUN.replace(lr=float("inf")), V, "lr is inf; it must be a number, 0 or more, and finite as a float"),
        (lambda h: RUN.replace(beta1="high"), V, "beta1 is 'high'; it must be a number"),
        (lambda h: RUN.replace(compile="false"), V, "compile is 'false'; it must be true, false or null"),
        (lambda h: RUN.replace(tensorboard="no"), V, "tensorboard is 'no'; it must be true or false"),
        (lambda h: RUN.replace(resident=1), V, "resident is 1"),
        (lambda h: RUN.replace(tf32=None), V, "tf32 is None"),
        (lambda h: RUN.replace(name=5), V, "name is 5; it must be some text"),
        (lambda h: RUN.replace(name="a/b"), V, "name is 'a/b'; it becomes the name of a folder"),
        (lambda h: RUN.replace(data=""), V, "data is ''; it must be some text"),
        (lambda h: RUN.replace(data=None), V, "data is None"),
        (lambda h: RUN.replace(valid_data=3), V, "valid_data is 3"),
        (lambda h: RUN.replace(tokenizer=True), V, "tokenizer is True"),
        (lambda h: RUN.replace(wandb=1), V, "wandb is 1"),
        (lambda h: RUN.replace(device=0), V, "device is 0"),
        (lambda h: RUN.replace(sample_prompt=5), V, "sample_prompt is 5; it must be text"),
        (lambda h: RUN.replace(optimizer="adam"), V, r"optimizer is 'adam' \(did you mean 'adamw'\?\)"),
        (lambda h: RUN.replace(model={}), V, "it must be a ModelConfig"),
        (lambda h: RUN.replace(stepz=1), V, "unknown key 'stepz'"),
        (lambda h: TrainConfig.from_json("{"), V, "no JSON"),
        (lambda h: TrainConfig.from_json("[" * 100_000), V, "nested too deeply"),
        (lambda h: TrainConfig.from_file(h / "none.json"), F, "there is no file .*none.json"),
        (lambda h: TrainConfig.from_file(h / "other.json"), V, "other.json: unknown key 'architectures'"),
        (lambda h: TrainConfig.from_file(h / "torn.json"), V, "torn.json is not JSON"),
        (lambda h: TrainConfig.preset("tales-1"), V, "did you mean"),
    ],
    "Trainer": [
        (lambda h: Trainer(RUN, h / "run", PreparedCorpus(None, IDS, IDS)), E, "holds a run already"),
        (lambda h: Trainer(RUN.replace(batch_size=10**12), h / "r", PreparedCorpus(None, IDS, IDS)), V, "not fit:"),
        (lambda h: Trainer(RUN.replace(device="gpu"), h / "r", PreparedCorpus(None, IDS, IDS)), V, "device is 'gpu'"),
        (lambda h: Trainer.resume(h / "folder"), F, "is no run"),
        (lambda h: Trainer.resume(h / "run", changes={"lr": 1.0}), V, "lr can't change on the way"),
        (lambda h: Trainer.resume(h / "run"), F, "'counting', which is not there .*--data PATH"),
    ],
    "RunRecord": [
        (lambda h: RunRecord(h / "folder"), F, "is no run: it has no config.json"),
        (lambda h: RunRecord(h / "run").append({"step": 1.0}), T, "step must be a whole number, got 1.0"),
        (lambda h: RunRecord(h / "run").append({"loss": 1.0}), V, "a line of metrics needs a step"),
        (lambda h: RunRecord(h / "run").append({"step": 1, "x": IDS}), T, "x is array.*JSON can't hold"),
        (lambda h: RunRecord(h / "run").add_sample(True, "a"), T, "step must be a whole number, got True"),
    ],
    "save_checkpoint": [
        (lambda h: save_checkpoint(LM, AdamW(LM.parameters()), 1.5, h / "c"), T, "iteration must be a whole number"),
        (lambda h: save_checkpoint(LM, AdamW(LM.parameters()), 1, h / "no" / "c"), F, "no folder"),
    ],
    "load_checkpoint": [
        (lambda h: load_checkpoint(h / "none", LM), F, "there is no file .*none'"),
        (lambda h: load_checkpoint(h / "torn.pt", LM), V, "torn.pt is damaged or no checkpoint"),
        (lambda h: load_checkpoint(h / "empty.txt", LM), V, "empty.txt is empty, and no checkpoint"),
        (lambda h: load_checkpoint(io.BytesIO(), LM), V, "the file is damaged or no checkpoint: it ends where"),
        (lambda h: load_checkpoint(h / "pointer.txt", LM), V, "pointer.txt is .*pointer of Git LFS"),
        (lambda h: load_checkpoint(h / "text.txt", LM), V, "text.txt is .*no checkpoint"),
    ],
    "prepare": [
        (lambda h: prepare(RUN.replace(data=str(h / "none.txt"))), F, "no corpus .*none.txt"),
        (lambda h: prepare(RUN.replace(data=str(h / "text.txt"), valid_data=str(h / "no"))), F, "valid_data is .*no"),
        (lambda h: prepare(RUN.replace(data=str(h / "text.txt"), tokenizer=str(h / "folder"))), F, "no tokenizer_"),
    ],
    "evaluate": [
        (lambda h: evaluate(zero, IDS[:1], 4), V, "a loss needs two"),
        (lambda h: evaluate(zero, [1, 2, 3], 4), T, "flat array or tensor of integers, got list"),
        (lambda h: evaluate(zero, IDS * 1.0, 4), T, "integers, got float64"),
        (lambda h: evaluate(zero, IDS, 0), V, "context_length is 0; it must be 1 or more"),
        (lambda h: evaluate(zero, IDS, 4, batch_size=-3), V, "batch_size is -3; it must be 1 or more"),
        (lambda h: evaluate(zero, IDS, 4, batch_size="8"), T, "batch_size must be a whole number, got '8'"),
        (lambda h: evaluate(zero, IDS, 4, windows=-1), V, "windows is -1; it must be 0 or more"),
    ],
    "generate": [
        (lambda h: generate(LM, PLAIN, []), V, "there is no prompt"),
        (lambda h: generate(LM, PLAIN, [3]), T, "must be str, got int"),
        (lambda h: generate(LM, PLAIN, 3), T, "prompts must be a string or several, got int"),
        (lambda h: generate(LM, PLAIN, b"abc"), T, "prompts must be a string or several, got bytes"),
        (lambda h: generate(LM, PLAIN, "a", {"top_k": 3}), T, "config must be a SamplingConfig, got {'top_k': 3} of"),
        (lambda h: generate(LM, PLAIN, "a", {}), T, "config must be a SamplingConfig, got {} of type dict"),
        (lambda h: generate(TransformerLM(TINY), PLAIN, "a"), V, "not made for each other"),
        (lambda h: generate(LM, Tokenizer(BYTES, []), ""), V, "prompt is empty"),
    ],
    "stream": [
        (lambda h: list(stream(LM, PLAIN, b"abc")), T, "must be str, got bytes"),
        (lambda h: list(stream(LM, PLAIN, "a", {})), T, "config must be a SamplingConfig, got {} of type dict"),
    ],
    "distribution": [
        (lambda h: penalized([[-1]]), V, r"an id of seen\[0\] is -1; it must be 0 or more"),
        (lambda h: penalized([[0, 1, 5]]), V, r"an id of seen\[0\] is 5; it must be 4 or less"),
        (lambda h: penalized([[0.5]]), T, r"seen\[0\] must be whole numbers, got float64"),
        (lambda h: penalized([[0], [7]], rows=2, penalty=1.0), V, r"an id of seen\[1\] is 7; it must be 4 or less"),
        (lambda h: penalized([[0.5]], penalty=1.0), T, r"seen\[0\] must be whole numbers, got float64"),
        (lambda h: penalized([3]), T, r"seen\[0\] must be a row of whole numbers, got 3"),
        (lambda h: penalized(["ab"]), T, r"seen\[0\] must be a row of whole numbers, got 'ab'"),
        (lambda h: penalized(3), T, "seen must be several rows of ids, got 3"),
        (lambda h: penalized("a"), T, "seen must be several rows of ids, got 'a'"),
        (lambda h: penalized([[1]], rows=2), V, r"seen has 1 rows and the logits 2; .*\[\] for none"),
        (lambda h: penalized([[1], [1]]), V, "seen has 2 rows and the logits 1"),
        (lambda h: distribution(torch.zeros(1, 5), SamplingConfig(), []), V, "seen has 0 rows and the logits 1"),
        (lambda h: distribution(torch.zeros(5), SamplingConfig()), V, r"shape \(5,\); they must be \(B, V\)"),
        (lambda h: distribution(torch.zeros(1, 2, 5), SamplingConfig()), V, r"they must be \(B, V\)"),
        (lambda h: distribution(torch.zeros(1, 0), SamplingConfig()), V, r"they must be \(B, V\)"),
        (lambda h: distribution(torch.zeros(1, 5).long(), SamplingConfig()), T, "tensor of floats, got torch.int64"),
        (lambda h: distribution([[0.0]], SamplingConfig()), T, "logits must be a tensor of floats, got list"),
        (lambda h: distribution(torch.zeros(1, 5), {}), T, "config must be a SamplingConfig"),
    ],
    "decode": [
        (lambda h: list(decode(LM, [[1]], {"seed": 1})), T, "config must be a SamplingConfig"),
        (lambda h: list(decode(LM, [], SamplingConfig())), V, "there must be one prompt"),
        (lambda h: list(decode(LM, [[]], SamplingConfig())), V, "one token at least"),
        (lambda h: list(decode(LM, [1, 2], SamplingConfig())), T, r"prompts\[0\] is 1, and must be a row of ids"),
        (lambda h: list(decode(LM, "ab", SamplingConfig())), T, "several rows of ids"),
        (lambda h: list(decode(LM, ["ab"], SamplingConfig())), T, "is text"),
        (lambda h: list(decode(LM, [[1.5]], SamplingConfig())), T, r"prompts\[0\]\[0\] must be a whole number"),
        (lambda h: list(decode(LM, [[1, 999]], SamplingConfig())), V, r"prompts\[0\]\[1\] is 999; .*256 or less"),
    ],
    "SamplingConfig": [
        (lambda h: SamplingConfig(max_tokens=0), V, "max_tokens is 0; it must be 1 or more"),
        (lambda h: SamplingConfig(max_tokens="9"), T, "max_tokens must be a whole number"),
        (lambda h: SamplingConfig(temperature=-1), V, "temperature is -1"),
        (lambda h: SamplingConfig(temperature=10**400), V, "temperature is 10+; it must be 0"),
        (lambda h: SamplingConfig(repetition_penalty=10**400), V, "repetition_penalty is 10+; it must be positive"),
        (lambda h: SamplingConfig(temperature=float("inf")), V, "temperature is inf; .* and finite as a float"),
        (lambda h: SamplingConfig(repetition_penalty=float("inf")), V, "penalty is inf; .* and finite as a float"),
        (lambda h: SamplingConfig(stop_at_end="no"), T, "stop_at_end must be True or False, got 'no'"),
        (lambda h: SamplingConfig(stop_at_end=None), T, "stop_at_end must be True or False, got None"),
        (lambda h: SamplingConfig(temperature="hot"), T, "temperature must be a number"),
        (lambda h: SamplingConfig(top_p=0), V, "top_p is 0"),
        (lambda h: SamplingConfig(top_k=-1), V, "top_k is -1"),
        (lambda h: SamplingConfig(repetition_penalty=0), V, "repetition_penalty is 0"),
        (lambda h: SamplingConfig(seed=-1), V, "seed is -1"),
        (lambda h: SamplingConfig(seed=1.5), T, "seed must be a whole number"),
        (lambda h: SamplingConfig(temperature=np.array([1.0])), T, "temperature must be a number"),
    ],
    "parameter_count": [(lambda h: accounting.parameter_count("gpt2-xl"), T, NO_MODEL)],
    "matmuls": [
        (lambda h: accounting.matmuls("gpt2-xl"), T, NO_MODEL),
        (lambda h: accounting.matmuls(SMALL, attention="half"), V, "attention is 'half'; allowed"),
    ],
    "forward_flops": [(lambda h: accounting.forward_flops(SMALL, 0), V, "context_length is 0; it must be a whole")],
    "training_flops": [(lambda h: accounting.training_flops(SMALL, 8, 0), V, "batch_size is 0; it must be a whole")],
    "crossing_context": [
        (lambda h: accounting.crossing_context("gpt2-xl"), T, NO_MODEL),
        (lambda h: accounting.crossing_context(SMALL, attention="half"), V, "attention is 'half'; allowed"),
    ],
    "adamw_flops": [(lambda h: accounting.adamw_flops("gpt2-xl"), T, NO_MODEL)],
    "handout_activations": [
        (lambda h: accounting.handout_activations(SMALL, 0), V, "context_length is 0; it must be a whole"),
        (lambda h: accounting.handout_activations(SMALL, edition=2024), V, "unknown edition 2024"),
    ],
    "autograd_activations": [(lambda h: accounting.autograd_activations("gpt2-xl"), T, NO_MODEL)],
    "training_memory": [(lambda h: accounting.training_memory(SMALL, 0), V, "batch_size is 0; it must be a whole")],
    "max_batch_size": [(lambda h: accounting.max_batch_size(SMALL, 0), V, "memory_bytes is 0; it must be a whole")],
    "training_time": [(lambda h: accounting.training_time(SMALL, 0, 1, 1e12), V, "steps is 0; it must be a whole")],
    "mfu": [
        (lambda h: accounting.mfu("x", SMALL, 1e12), T, "tokens_per_second must be a number, got 'x'"),
        (lambda h: accounting.mfu(1.0, SMALL, 0), V, "the peak is 0; it must be a positive number of FLOP/s"),
    ],
    "roofline": [(lambda h: accounting.roofline(SMALL, "h10"), V, "unknown device 'h10' .*did you mean 'h100")],
    "kv_cache_bytes": [(lambda h: accounting.kv_cache_bytes(SMALL, 0), V, "context_length is 0; it must be a whole")],
    "decode_time": [(lambda h: accounting.decode_time(SMALL, "h10"), V, "unknown device 'h10' .*did you mean 'h100")],
    "rank_memory": [(lambda h: accounting.rank_memory(SMALL, "zero", 8), V, "strategy is 'zero'; allowed: 'single'")],
    "step_traffic": [(lambda h: accounting.step_traffic(SMALL, "zero", 8), V, "strategy is 'zero'; allowed: 'single'")],
    "step_seconds": [
        (lambda h: accounting.step_seconds("x", 1.0), T, "compute must be a number, got 'x'"),
        (lambda h: accounting.step_seconds(1.0, -1.0), V, "communication is -1.0; it must be 0 or more"),
        (lambda h: accounting.step_seconds(1.0, 1.0, 1.5), V, "overlap is 1.5; it must be from 0 to 1"),
    ],
    "training_scaling": [
        (lambda h: accounting.training_scaling(SMALL, 0, 1.0, 1, 1.0), V, "workers is 0; it must be a whole number"),
        (lambda h: accounting.training_scaling(SMALL, 3, 1.0, 4, 1.0), V, "3 workers do not divide batch_size 4"),
    ],
    "Cluster": [(lambda h: accounting.Cluster("four", 0, 2.0, "x"), V, "workers is 0; it must be a whole number")],
    "training_bill": [(lambda h: accounting.training_bill(0, 1.0, FOUR), V, "tokens is 0; it must be a whole number")],
    "tokenizing_bill": [
        (lambda h: accounting.tokenizing_bill(9, FOUR, count_rate=0.0, encode_rate=1.0), V, "count_rate is 0.0"),
    ],
}  # fmt: skip

ROWS = [(name, row) for name, rows in TABLE.items() for row in rows]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("name", "row"), ROWS, ids=[f"{name}-{i}" for i, (name, _) in enumerate(ROWS)])
def test_a_wrong_input_is_told_in_words_of_our_own(name, row, home, monkeypatch):
    call, kind, text = row
    monkeypatch.chdir(home / "folder")
    before = {path: path.stat().st_mtime_ns for path in home.rglob("*") if path.is_file() and path.name != ".lock"}
    with pytest.raises(kind) as told:
        call(home)
    message = str(told.value)
    assert re.search(text, message, re.DOTALL), message
    assert len(message) < 600 and "Traceback" not in message
    after = {path: path.stat().st_mtime_ns for path in home.rglob("*") if path.is_file() and path.name != ".lock"}
    assert after == before, "a refused call leaves the disk as it was"


ANYBODY = [
    "[Errno 2] No such file or directory: '/home/none.txt'",
    "'NoneType' object is not iterable",
    "unsupported operand type(s) for /: 'str' and 'int'",
    "invalid literal for int() with base 10: 'x'",
    "Expecting value: line 1 column 1 (char 0)",
    "Expected all tensors to be on the same device, but got a step, a seed, a split, workers, decay and lr",
    "must be str, not int; it must be a number: batch_size, size_bytes, context_length, memory_bytes",
]
"""What Python, or nobody in particular, says."""


@pytest.mark.parametrize(("name", "row"), ROWS, ids=[f"{name}-{i}" for i, (name, _) in enumerate(ROWS)])
def test_no_row_is_content_with_what_anybody_says(name, row):
    text = row[2]
    assert not [said for said in ANYBODY if re.search(text, said, re.DOTALL)]
    assert len(re.findall(r"\w+", text)) > 1, "one word fits many messages"


WITH_A_MODEL = [name for name in accounting.__all__ if "cfg" in parameters_of(getattr(accounting, name))]
OTHERS = {"steps": 1, "tokens_per_second": 1.0, "workers": 2, "bandwidth": 1.0, "ranks": 2, "memory_bytes": 10**9,
          "batch_size": 2, "device": "h100-sxm", "peak_flops": 1e12, "strategy": "ddp"}  # fmt: skip


@pytest.mark.parametrize("name", WITH_A_MODEL)
def test_the_name_of_a_model_is_none(name):
    function = getattr(accounting, name)
    needed = {one.name: OTHERS[one.name] for one in parameters_of(function).values() if one.name in OTHERS}
    with pytest.raises(TypeError, match=NO_MODEL):
        function(cfg="gpt2-xl", **needed)


# What takes no input of a user's, or whose checks are rows of another name.
WITHOUT = {
    "bpe": {"BPEResult", "PAT", "compile_kernels"},
    "data": set(),
    "model": {
        *("TransformerBlock", "MultiHeadSelfAttention", "scaled_dot_product_attention", "softmax", "RotaryEmbedding"),
        *("SwiGLU", "SiLUFeedForward", "silu", "Linear", "Embedding", "RMSNorm", "KVCache"),  # layers: tests/model
    },
    "optim": set(),
    "training": {
        *("cross_entropy", "chunked_cross_entropy", "perplexity"),  # of tensors: tests/training
        *("Interrupted", "PreparedCorpus", "Evaluation", "find_runs"),
    },
    "generation": {"Generation", "training_sample"},
    "accounting": {
        *("ADAMW_OPERATIONS", "GB", "GIB", "HOUR", "DAY", "DEVICES", "Strategy", "Scaling", "report", "identify"),
        *("Breakdown", "MatMul", "TrainingMemory", "Device", "RooflinePoint", "DecodingStep", "RankMemory", "Traffic"),
        *("Bill", "ScalingPoint"),
    },
}


@pytest.mark.parametrize("room", WITHOUT)
def test_every_public_function_has_its_rows(room):
    public = set(import_module(f"cs336_lib.{room}").__all__)
    assert public - WITHOUT[room] <= TABLE.keys(), "add rows of wrong inputs"
    assert not WITHOUT[room] & TABLE.keys()
    assert WITHOUT[room] <= public, "what is left out is not there"


def test_no_row_is_of_a_function_that_is_not_there():
    assert TABLE.keys() <= {name for room in WITHOUT for name in import_module(f"cs336_lib.{room}").__all__}
