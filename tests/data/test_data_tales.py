"""The built-in world: its stories, floor, splits, golden texts and files."""

import hashlib
import inspect
import math
import subprocess
import sys
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cs336_lib.data import tales
from cs336_lib.data.tales import ambiguity, grammar, information, kernel, lexicon, program, rng, walk, world, writer

SEEDS = st.integers(0, 2**64 - 1)
INDICES = st.integers(0, 2**40)
SPLITS = st.sampled_from(tales.SPLITS)
PROVED = "bbeea3268f73da38682a7f5da3e736ded7abee27bb58c507061d3a2aa4eaa827"
GOLDEN = "61c0c40ab894c29aeb0ef2e395a02ddab3d71dd3319ccc1189588be6d0799b38"


class Words:
    """A tokenizer of bytes set apart by spaces."""

    def encode_to_array(self, text):
        return np.zeros(text.count(" ") + 1, dtype=np.uint16)


@settings(max_examples=40, deadline=None)
@given(SEEDS, INDICES, SPLITS)
def test_a_story_is_scored_as_it_was_generated_and_belongs_to_its_split(seed, index, split):
    story = tales.story(seed, index, split)
    assert tales.log_prob(story.text) == story.log_prob < 0
    assert tales.split_of(story.text) == split
    assert tales.SEPARATOR.strip() not in story.text


@settings(max_examples=25, deadline=None)
@given(SEEDS, st.integers(0, 2**40), st.sampled_from([0, 1]))
def test_the_kernel_writes_what_the_walk_writes(seed, first, split):
    text, ends = writer.block(seed, split, first, 3)
    starts = [0, *ends[:-1]]
    slow = [walk.generate(world.program(), seed, split, first + i)[0] + tales.SEPARATOR for i in range(3)]
    assert [text[a:b].tobytes().decode() for a, b in zip(starts, ends, strict=True)] == slow


@settings(max_examples=80, deadline=None)
@given(st.integers(1, 2**32 - 1), SEEDS)
def test_the_kernel_draws_what_the_stream_draws(n, start):
    stream = rng.Stream(0, 0, 0)
    stream.state = start
    state, drawn = kernel.draw_below(start, n)
    assert (stream.below(n), stream.state) == (drawn, state)


def what_was_proved() -> str:
    """The hash of the built-in grammar and of all that reads it in the proof that no two derivations write one text."""
    code = "".join(inspect.getsource(module) for module in (ambiguity, program, grammar, lexicon))
    return hashlib.sha256("\0".join((*world.sources(), code)).encode()).hexdigest()


def test_the_grammar_is_the_one_that_was_proved():
    assert what_was_proved() == PROVED, f"after `pytest -m slow {__file__}` passes, PROVED is {what_was_proved()!r}"


@pytest.mark.slow
def test_no_two_derivations_have_the_same_text():
    assert ambiguity.check(world.program()) < ambiguity.LIMIT


def test_the_mean_surprise_of_a_sample_agrees_with_the_exact_entropy():
    floor = information.means(world.program())
    sample = [tales.story(11, i) for i in range(600)]
    nats = np.array([-s.log_prob for s in sample])
    sizes = np.array([len(s.text) for s in sample])
    for exact, seen in ((floor.nats, nats), (floor.bytes, sizes)):
        assert abs(seen.mean() - exact) < 4 * seen.std() / math.sqrt(len(sample))


def test_entropy_is_consistent_in_its_units():
    floor = tales.entropy()
    assert floor.nats_per_token is None
    assert floor.nats_per_byte * floor.bytes_per_story == pytest.approx(floor.nats_per_story)
    assert floor.bits_per_byte == pytest.approx(floor.nats_per_byte / math.log(2))


def test_entropy_a_token_has_an_honest_error():
    coarse, fine = (tales.entropy(Words(), sampled_stories=n) for n in (64, 4096))
    assert coarse.sampled_stories == 64
    assert abs(coarse.nats_per_token - fine.nats_per_token) < 5 * coarse.nats_per_token_error
    assert fine.nats_per_token_error < 0.002 * fine.nats_per_token


def test_a_tokenizer_of_bytes_has_the_exact_entropy_a_byte():
    class Bytes:
        def encode(self, text):
            return text.encode()

    floor = tales.entropy(Bytes(), sampled_stories=16)
    assert floor.nats_per_token == pytest.approx(floor.nats_per_byte)
    assert floor.nats_per_token_error == pytest.approx(0, abs=1e-12)


def test_n_gram_models_stay_above_the_floor():
    # Interpolated word trigrams (Witten-Bell) on 4,000 stories; loss on the valid split, whole stories, ends included.
    def words(split, count, first=0):
        text, _ = writer.block(2, tales.SPLITS.index(split), first, count)
        return [("", "", *s.split(" "), "</s>") for s in text.tobytes().decode().split(tales.SEPARATOR)[:-1]]

    counts = [Counter(), Counter(), Counter()]
    followers = [Counter(), Counter()]
    train = words("train", 4000)
    for story in train:
        for i in range(2, len(story)):
            for n in range(3):
                counts[n][story[i - n : i + 1]] += 1
    for n in (1, 2):
        for gram in counts[n]:
            followers[n - 1][gram[:-1]] += 1
    contexts = [Counter(), Counter()]
    for n in (1, 2):
        for gram, count in counts[n].items():
            contexts[n - 1][gram[:-1]] += count
    total = sum(counts[0].values())

    def probability(gram):
        p = (counts[0][gram[-1:]] + 1) / (total + 1_000_000)
        for n in (1, 2):
            context = gram[2 - n : 2]
            seen, kinds = contexts[n - 1][context], followers[n - 1][context]
            if seen:
                p = (counts[n][gram[2 - n :]] + kinds * p) / (seen + kinds)
        return p

    valid = words("valid", 300)
    losses = [-sum(math.log(probability(s[i - 2 : i + 1])) for i in range(2, len(s))) for s in valid]
    floor = tales.entropy().nats_per_story
    assert floor * 1.2 < np.mean(losses) < floor * 10


def test_stories_are_fixed_for_ever():
    # A change here changes what every recorded result was trained on: raise GRAMMAR_VERSION with it.
    text, _ = writer.block(336, 0, 0, 64)
    other, _ = writer.block(336, 1, 10**12, 64)
    golden = hashlib.sha256(text.tobytes() + other.tobytes()).hexdigest()
    assert (tales.GRAMMAR_VERSION, golden) == (1, GOLDEN)


def test_stories_are_rich():
    text, _ = writer.block(1, 0, 0, 3000)
    documents = text.tobytes().decode().split(tales.SEPARATOR)[:-1]
    lengths = np.array([len(d.split()) for d in documents])
    vocabulary = {w.strip('.,!?"').lower() for d in documents for w in d.split()}
    assert len(set(documents)) == 3000
    assert len(vocabulary) > 1000
    assert 50 <= lengths.min() < 90
    assert 230 < lengths.max() < 330


def test_stories_are_well_formed():
    for index in range(300):
        text = tales.story(4, index).text
        assert text.count('"') % 2 == 0
        assert "  " not in text and " ." not in text and " ," not in text and "\n " not in text and " \n" not in text
        assert all(line[0].isupper() or line[0] == '"' for line in text.split("\n"))
        assert all(line.rstrip('"')[-1] in ".!?" for line in text.split("\n"))
        for a, b in zip(text.split(), text.split()[1:], strict=False):
            assert not (a.lower() == "a" and b[0].lower() in "aeio"), (a, b)
            assert not (a.lower() == "an" and b[0].lower() not in "aeiou"), (a, b)


@pytest.mark.parametrize("workers", [1, 2, 5])
def test_any_number_of_workers_writes_the_same_file(tmp_path, workers):
    corpus = tales.write(tmp_path / "tales.txt", 6_000_000, 9, workers=workers)
    data = (tmp_path / "tales.txt").read_bytes()
    assert hashlib.sha256(data).hexdigest() == hashlib.sha256(whole_stories(9, 6_000_000)).hexdigest()
    assert (corpus.size_bytes, corpus.stories) == (len(data), data.count(b"<|endoftext|>\n"))
    assert [p.name for p in tmp_path.iterdir()] == ["tales.txt"]


def whole_stories(seed, size):
    text, ends = writer.block(seed, 0, 0, 9000)
    return text[: ends[ends <= size][-1]].tobytes()


def test_a_longer_corpus_begins_with_a_shorter_one_and_wastes_less_than_a_story(tmp_path):
    for size in (30_000, 90_001):
        tales.write(tmp_path / f"{size}", size, 3, split="valid", workers=1)
    short, long = (tmp_path / "30000").read_bytes(), (tmp_path / "90001").read_bytes()
    assert long.startswith(short)
    assert 90_001 - 3000 < len(long) <= 90_001


def test_an_interrupted_write_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "tales.txt"
    path.write_text("precious")
    monkeypatch.setattr(writer, "block", lambda *a: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        tales.write(path, 10_000, 0)
    assert path.read_text() == "precious"
    assert [p.name for p in tmp_path.iterdir()] == ["tales.txt"]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda p: tales.story(-1, 0), "seed=-1"),
        (lambda p: tales.story(0, -1), "index=-1"),
        (lambda p: tales.story(0, 0, "test"), "split='test' must be one of 'train', 'valid'"),
        (lambda p: tales.write(p / "x", 0, 0), "size_bytes=0"),
        (lambda p: tales.write(p / "x", 20, 0), "size_bytes=20 is too small"),
        (lambda p: tales.write(p / "x", 10**4, 0, workers=0), "workers=0"),
        (lambda p: tales.entropy(Words(), sampled_stories=1), "sampled_stories=1"),
        (lambda p: tales.log_prob(""), "byte 0"),
    ],
)
def test_bad_values_are_named(tmp_path, call, message):
    with pytest.raises(ValueError, match=message):
        call(tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere"):
        tales.write(tmp_path / "nowhere" / "x", 10_000, 0)


def test_tales_need_neither_torch_nor_numba_to_import():
    code = "import sys, cs336_lib.data.tales as t; t.story(0, 0); assert not {'torch', 'numba'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
