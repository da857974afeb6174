"""`train_bpe` gives what the definition gives, on either road, and refuses what it can't train on."""

import json
import os
import random
import subprocess
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise, product

import numpy as np
import pytest
from bpe_corpora import broken_texts, multilingual_text, special_lists, texts_with_specials, word_counts
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from cs336_lib.bpe import BPEResult, Tokenizer, arguments, train_bpe, training
from cs336_lib.bpe.counting.word_table import WordCounts
from cs336_lib.bpe.merging.merger import Merger
from cs336_lib.bpe.merging.rows import PAIRS
from cs336_lib.bpe.plain import definition as reference
from cs336_lib.bpe.plain.trainer import train_incrementally
from cs336_lib.textfile import check_is_text

END = "<|endoftext|>"


@pytest.fixture(params=["plain", "compiled"])
def road(request, monkeypatch):
    """Both ways through `train_bpe`, whatever the size of the text."""
    monkeypatch.setattr(training, "_road", lambda size: request.param)
    return request.param


@pytest.fixture
def compiled(monkeypatch):
    monkeypatch.setattr(training, "_road", lambda size: "compiled")


def merge_compiled(counts, max_merges):
    return Merger(WordCounts.from_mapping(counts), max_merges).run()


TRAINERS = pytest.mark.parametrize(
    "trainer",
    [reference.train_on_words, lambda counts, most: list(train_incrementally(counts, most)), merge_compiled],
    ids=["reference", "plain", "compiled"],
)


@TRAINERS
def test_the_handout_example(trainer):
    merges = trainer({b"low": 5, b"lower": 2, b"widest": 3, b"newest": 6}, 6)
    assert [b" ".join(pair).decode() for pair in merges] == ["s t", "e st", "o w", "l ow", "w est", "n e"]


@TRAINERS
def test_overlapping_repeats_count_neighbors_as_they_are_after_the_merge(trainer):
    merges = trainer({b"abababab": 1, b" abababab": 1, b" xyz": 1, b" ab": 1}, 3)
    assert merges == [(b"a", b"b"), (b"ab", b"ab"), (b"abab", b"abab")]


@TRAINERS
@pytest.mark.parametrize(
    ("length", "expected"),
    [
        (2, [(b"a", b"a")]),
        (3, [(b"a", b"a"), (b"aa", b"a")]),
        (4, [(b"a", b"a"), (b"aa", b"aa")]),
        (7, [(b"a", b"a"), (b"aa", b"aa"), (b"aaaa", b"aa"), (b"aaaaaa", b"a")]),
        (8, [(b"a", b"a"), (b"aa", b"aa"), (b"aaaa", b"aaaa")]),
    ],
)
def test_runs_of_one_letter_merge_left_to_right(trainer, length, expected):
    assert trainer({b"a" * length: 1}, 10) == expected


@TRAINERS
def test_ties_go_to_the_greater_pair_of_byte_strings(trainer):
    assert trainer({b"ab": 1, b"cd": 1, b"cc": 1}, 2) == [(b"c", b"d"), (b"c", b"c")]
    assert trainer({b"\xff\x00": 1, b"z\xff": 1}, 1) == [(b"\xff", b"\x00")]


@TRAINERS
def test_ties_look_beyond_the_eighth_byte_and_at_the_length(trainer):
    counts = {b"abcdefghi_x": 9, b"abcdefghj_x": 9, b"abcdefgh": 9}
    assert trainer(counts, 40) == reference.train_on_words(counts, 40)


@TRAINERS
def test_training_stops_when_no_pair_is_left(trainer):
    assert trainer({b"ab": 3, b"c": 9}, 100) == [(b"a", b"b")]
    assert trainer({b"a": 3}, 100) == []
    assert trainer({}, 100) == []
    assert trainer({b"ab": 1}, 0) == []


@TRAINERS
def test_word_counts_beyond_32_bits_decide_rightly(trainer):
    # In 32 bits the first word would count as 1, and in floating point the last two as equal.
    counts = {b"the": 2**32 + 1, b"cat": 5, b"xy": 2**60, b"zw": 2**60 + 1}
    assert trainer(counts, 4) == [(b"z", b"w"), (b"x", b"y"), (b"t", b"h"), (b"th", b"e")]


@given(word_counts, st.sampled_from([1, 3, 10, 1000]))
@settings(max_examples=120, deadline=None)
def test_all_trainers_agree_on_any_words(counts, max_merges):
    expected = reference.train_on_words(counts, max_merges)
    assert list(train_incrementally(counts, max_merges)) == expected
    assert merge_compiled(counts, max_merges) == expected


def test_trainers_agree_on_every_pair_of_short_words():
    words = [bytes(letters) for size in range(1, 6) for letters in product(b"ab", repeat=size)]
    for left, right in product(words, words):
        counts = {left: 2, right: 3}
        expected = reference.train_on_words(counts, 100)
        assert merge_compiled(counts, 100) == expected
        assert list(train_incrementally(counts, 100)) == expected


@given(word_counts)
@settings(max_examples=80, deadline=None)
def test_no_two_merges_make_the_same_bytes(counts):
    made = [left + right for left, right in merge_compiled(counts, 1000)]
    assert len(set(made)) == len(made)


@pytest.mark.parametrize("letters", ["a", "ab", "abc", "abcdefghijklmnopqrstuvwxyz"])
def test_thousands_of_merges_agree_with_the_plain_trainer(letters):
    draw = random.Random(letters)
    counts = {
        "".join(draw.choices(letters, k=draw.randrange(1, 60))).encode(): draw.randrange(1, 9) for _ in range(1500)
    }
    assert merge_compiled(counts, 5_000) == list(train_incrementally(counts, 5_000))


def test_arrays_grow_when_pairs_outnumber_their_room():
    draw = random.Random(0)
    counts = {bytes(draw.choices(range(256), k=12)): draw.randrange(1, 50) for _ in range(12_000)}
    merger = Merger(WordCounts.from_mapping(counts), 400)
    room = len(merger.pair_counts)
    merger.pairs, merger.pair_counts = merger.pairs[: 4 * 66_000], merger.pair_counts[:66_000]
    assert merger.run() == list(train_incrementally(counts, 400))
    assert len(merger.pair_counts) != room


@pytest.mark.parametrize("room", [0, 255, 256, 257, 300, 507, 508, 511, 512])
def test_a_step_that_makes_a_pair_on_each_side_of_all_tokens_has_room_for_them(room):
    others = [bytes([byte]) for byte in range(256) if byte not in b"ab"]
    counts = {other + b"ab" + other: 1 for other in others}
    merger = Merger(WordCounts.from_mapping(counts), 1)
    before = int(merger.progress[PAIRS])
    merger.pairs, merger.pair_counts = merger.pairs[: 4 * (before + room)], merger.pair_counts[: before + room]
    assert merger.run() == [(b"a", b"b")]
    assert merger.progress[PAIRS] == before + 2 * len(others) <= len(merger.pair_counts)


def test_a_token_of_a_megabyte_can_be_learned():
    merges = merge_compiled({b"a" * (1 << 20): 1}, 100)
    assert merges == [(b"a" * 2**n, b"a" * 2**n) for n in range(20)]


def test_a_corpus_too_large_to_number_is_refused():
    class Huge(WordCounts):
        pass

    words = WordCounts.from_mapping({b"ab": 1})
    words.bounds[1] = 2**31
    with pytest.raises(ValueError, match=r"2,147,483,648 bytes together; the trainer can number 715,827,882"):
        Merger(words, 1)


def write(folder, text: bytes):
    path = folder / "corpus.txt"
    path.write_bytes(text)
    return path


@given(st.one_of(broken_texts, texts_with_specials).filter(len), special_lists)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_file_trains_as_the_definition_says(tmp_path, monkeypatch, road, text, specials):
    monkeypatch.setattr(arguments, "check_is_text", lambda path: None)  # some of these look like other things than text
    appended = [token for token in specials if len(token) > 1 or not token.isascii()]
    path = write(tmp_path, text)
    try:
        check_is_text(path)
    except ValueError:  # hypothesis has read the marks of packed files in our code, and tries them
        assume(False)
    vocab, merges = train_bpe(path, 280, specials, workers=1)
    assert merges == reference.train_on_words(reference.count_words(text, specials), 280 - 256 - len(appended))
    assert vocab == reference.build_vocabulary(merges, appended)


def test_a_text_of_many_scripts_trains_as_the_definition_says(tmp_path, road):
    text = multilingual_text(20_000, special=END)
    vocab, merges = train_bpe(write(tmp_path, text), 400, [END])
    assert (vocab, merges) == reference.train(text, 400, [END])


@pytest.mark.parametrize("workers", range(1, 9))
def test_the_number_of_workers_changes_nothing(tmp_path, compiled, workers):
    text = multilingual_text(400_000, special=END)
    counts = reference.count_words(text, [END])
    expected = list(train_incrementally(counts, 1000 - 257))
    assert train_bpe(write(tmp_path, text), 1000, [END], workers=workers).merges == expected


def test_an_executor_changes_nothing(tmp_path, compiled):
    path = write(tmp_path, multilingual_text(400_000, special=END))
    with ThreadPoolExecutor(2) as executor:
        assert train_bpe(path, 1000, [END], executor=executor).merges == train_bpe(path, 1000, [END]).merges


def test_merges_are_those_of_hugging_face_where_no_tie_decides(tmp_path, road):
    tokenizers = pytest.importorskip("tokenizers")
    # Many words of few letters, with large random counts: the first pairs to share a count come late.
    draw = random.Random(5)
    words = {"".join(draw.choices("etaoin", weights=[9, 7, 6, 5, 4, 3], k=draw.randrange(2, 7))) for _ in range(300)}
    text = "\n".join((" " + word) * draw.randrange(1, 1000) for word in sorted(words))
    merges = train_bpe(write(tmp_path, text.encode()), 400).merges
    untied = count_until_tie(reference.count_words(text.encode()), merges)
    assert untied >= 50

    theirs = tokenizers.Tokenizer(tokenizers.models.BPE())
    theirs.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=400,
        initial_alphabet=tokenizers.pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    theirs.train_from_iterator([text], trainer)
    found = [tuple(merge) for merge in json.loads(theirs.to_str())["model"]["merges"]]
    ours = [tuple(part.decode().replace(" ", "\u0120").replace("\n", "\u010a") for part in pair) for pair in merges]
    assert found[:untied] == ours[:untied]


def count_until_tie(counts, merges):
    """How many of the merges are made before two pairs share the highest count."""
    words = {word: [bytes([byte]) for byte in word] for word in counts}
    for done, merge in enumerate(merges):
        pairs = Counter()
        for word, tokens in words.items():
            for pair in pairwise(tokens):
                pairs[pair] += counts[word]
        (_, highest), (_, second) = pairs.most_common(2)
        if highest == second:
            return done
        words = {word: reference.merge_word(tokens, merge) for word, tokens in words.items()}
    return len(merges)


def test_the_result_unpacks_and_tells_what_it_took(tmp_path, road):
    text = multilingual_text(30_000, special=END)
    result = train_bpe(write(tmp_path, text), 300, [END], workers=2)
    vocab, merges = result
    assert isinstance(result, BPEResult)
    assert (vocab, merges) == (result.vocab, result.merges)
    counts = reference.count_words(text, [END])
    assert (result.stats.bytes, result.stats.words, result.stats.distinct_words) == (
        len(text),
        counts.total(),
        len(counts),
    )
    assert result.stats.compiled == (road == "compiled")
    assert set(result.stats.seconds) == {"count", "merge", "total"}
    assert result.stats.peak_memory is None or result.stats.peak_memory > 1_000_000


def test_ids_are_bytes_then_merges_then_specials(tmp_path, road):
    vocab, merges = train_bpe(write(tmp_path, b"abab <|b|> abab <|a|>"), 300, ["<|b|>", "<|a|>"])
    assert [vocab[id] for id in range(256)] == [bytes([byte]) for byte in range(256)]
    assert [vocab[256 + n] for n in range(len(merges))] == [left + right for left, right in merges]
    assert [vocab[256 + len(merges)], vocab[257 + len(merges)]] == [b"<|b|>", b"<|a|>"]
    assert len(vocab) == 258 + len(merges)


def test_a_special_token_of_one_byte_is_the_entry_of_that_byte(tmp_path, road):
    vocab, merges = train_bpe(write(tmp_path, b"ab\nab\nab"), 300, ["\n"])
    assert merges == [(b"a", b"b")]
    assert sorted(vocab.values()) == sorted({*vocab.values()})
    assert len(vocab) == 257


def test_a_file_of_special_tokens_alone_has_no_merges(tmp_path, road):
    vocab, merges = train_bpe(write(tmp_path, END.encode() * 5), 300, [END])
    assert (len(vocab), merges) == (257, [])


def test_progress_is_shown_on_request(tmp_path, road, capsys):
    path = write(tmp_path, multilingual_text(20_000))
    train_bpe(path, 300)
    assert capsys.readouterr().err == ""
    train_bpe(path, 300, progress=True)
    assert "merging: 100%" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"vocab_size": 255}, ValueError, "vocab_size 255 is too small: the 256 bytes and 0 special tokens take 256"),
        ({"vocab_size": 257, "special_tokens": ["<|a|>", "<|b|>"]}, ValueError, "vocab_size 257 .* 2 special .* 258"),
        ({"vocab_size": -1}, ValueError, "vocab_size -1 "),
        ({"vocab_size": 300.0}, TypeError, "vocab_size must be an integer, got 300.0"),
        ({"vocab_size": True}, TypeError, "vocab_size must be an integer, got True"),
        ({"special_tokens": ["a", ""]}, ValueError, r"special_tokens\[1\] is the empty string"),
        ({"special_tokens": ["ab", "cd", "ab"]}, ValueError, r"special_tokens\[2\] 'ab' is given twice"),
        ({"special_tokens": "<|x|>"}, TypeError, "must be a list of strings, got '<|x|>'"),
        ({"special_tokens": [b"ab"]}, TypeError, r"special_tokens\[0\] must be a string, got b'ab'"),
        ({"special_tokens": ["\ud800"]}, ValueError, "holds a lone surrogate"),
        ({"workers": 0}, ValueError, "workers must be 1 or more, or None for all processors, got 0"),
        ({"workers": 1.5}, TypeError, "workers must be an integer or None, got 1.5"),
    ],
)
def test_bad_arguments_are_named_with_what_is_allowed(tmp_path, arguments, error, message):
    arguments = {"vocab_size": 300, **arguments}
    with pytest.raises(error, match=message):
        train_bpe(write(tmp_path, b"some text"), **arguments)


def test_bad_paths_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nowhere\.txt' does not exist"):
        train_bpe(tmp_path / "nowhere.txt", 300)
    with pytest.raises(IsADirectoryError, match="is a folder"):
        train_bpe(tmp_path, 300)
    with pytest.raises(ValueError, match=r"empty\.txt' is empty"):
        (tmp_path / "empty.txt").touch()
        train_bpe(tmp_path / "empty.txt", 300)


def test_a_path_can_be_a_string_relative_to_here(tmp_path, monkeypatch, road):
    write(tmp_path, b"abab abab")
    monkeypatch.chdir(tmp_path)
    assert train_bpe("corpus.txt", 257).merges == [(b"a", b"b")]


def test_a_small_text_is_trained_without_compiling(tmp_path):
    path = write(tmp_path, multilingual_text(90_000))
    script = (
        "import sys; from cs336_lib.bpe import train_bpe; result = train_bpe(sys.argv[1], 300); "
        "assert not result.stats.compiled; assert 'numba' not in sys.modules; print(len(result.merges))"
    )
    environment = {**os.environ, "CS336_CACHE_DIR": str(tmp_path / "cache")}
    done = subprocess.run(
        [sys.executable, "-c", script, str(path)], env=environment, capture_output=True, text=True, check=True
    )
    assert (done.stdout.strip(), done.stderr) == ("44", "")


def test_no_special_tokens_and_counts_of_numpy_are_taken(tmp_path):
    path = tmp_path / "text.txt"
    path.write_text("low low lower <|endoftext|>" * 5)
    expected = train_bpe(path, 260, workers=1, min_count=2)
    found = train_bpe(path, np.int32(260), None, workers=np.int64(1), min_count=np.int8(2))
    assert (found.vocab, found.merges) == (expected.vocab, expected.merges)
    tokenizer = Tokenizer(found.vocab, found.merges, None)
    assert tokenizer.encode_batch(["low"], workers=np.int64(2)) == tokenizer.encode_batch(["low"])
    assert tokenizer.encode_to_array("low", workers=np.uint8(2)).tolist() == tokenizer.encode("low")
