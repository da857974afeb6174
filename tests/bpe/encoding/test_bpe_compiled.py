"""The compiled encoder against the definition, and against itself however the work is cut up."""

import functools
import mmap
import random
import threading

import numpy as np
import pytest
from bpe_corpora import HASHED_ALIKE, hashed_alike
from bpe_texts import SCRIPTS, SPECIALS, TOKENIZERS, small_tokenizer
from hypothesis import given, settings
from hypothesis import strategies as st

from cs336_lib.bpe.cutting.cuts import cut_places
from cs336_lib.bpe.encoding import jobs as encoder_jobs
from cs336_lib.bpe.encoding import workspace as encoder_workspace
from cs336_lib.bpe.encoding.compiled import CompiledEncoder
from cs336_lib.bpe.encoding.jobs import cut_before, jobs
from cs336_lib.bpe.encoding.layout import CAPACITY, USED
from cs336_lib.bpe.encoding.wide_text import WideText
from cs336_lib.bpe.encoding.workspace import MergeTables, Workspace, with_room
from cs336_lib.bpe.plain.definition_encoder import encode_reference, encode_word
from cs336_lib.bpe.plain.encoder import PlainEncoder, merge_by_heap, merge_by_scanning
from cs336_lib.bpe.vocabulary import Vocabulary

LETTERS = {i: bytes([i]) for i in range(256)}


def vocabulary_of(tokenizer):
    return Vocabulary(tokenizer.vocab, tokenizer.merges, tokenizer.special_tokens)


def compiled(tokenizer):
    return CompiledEncoder(vocabulary_of(tokenizer))


def reference_ids(tokenizer, data):
    return encode_reference(data, tokenizer.vocab, tokenizer.merges, tokenizer.special_tokens)


def random_text(seed, size):
    """Bytes of many scripts, special tokens, runs, and rubbish."""
    chooser = random.Random(seed)
    parts, length = [], 0
    while length < size:
        kind = chooser.randrange(10)
        if kind < 5:
            script = chooser.choice(SCRIPTS)
            start = chooser.randrange(len(script))
            parts.append(script[start : start + chooser.randrange(1, 40)].encode())
        elif kind < 7:
            parts.append("".join(chooser.choices("abcdefgh  ", k=chooser.randrange(1, 400))).encode())
        elif kind == 7:
            parts.append(chooser.choice(SPECIALS).encode())
        elif kind == 8:
            parts.append(chooser.choice([b"a", b" ", b"^", b"\n", "é".encode()]) * chooser.randrange(1, 600))
        else:
            parts.append(chooser.randbytes(chooser.randrange(1, 20)))
        length += len(parts[-1])
    return b"".join(parts)


@functools.cache
def shared_encoder():
    return compiled(small_tokenizer())


@given(st.integers(0, 10**9), st.integers(0, 3000))
@settings(max_examples=60)
def test_equals_the_definition_on_texts_of_many_scripts(seed, size):
    data = random_text(seed, size)
    assert shared_encoder().encode(data).tolist() == reference_ids(small_tokenizer(), data)


@given(TOKENIZERS, st.text(alphabet="ab c'sé<>", max_size=300))
def test_equals_the_definition_for_random_tokenizers(tokenizer, text):
    assert compiled(tokenizer).encode(text.encode()).tolist() == reference_ids(tokenizer, text)


@given(st.binary(max_size=200))
def test_equals_the_definition_on_any_bytes(data):
    assert shared_encoder().encode(data).tolist() == reference_ids(small_tokenizer(), data)


@given(TOKENIZERS, st.binary(min_size=1, max_size=120))
def test_all_ways_to_merge_a_word_give_the_same_tokens(tokenizer, word):
    ranks = vocabulary_of(tokenizer).ranks()
    expected = encode_word(word, ranks)
    assert merge_by_scanning(word, ranks) == expected
    assert merge_by_heap(word, ranks) == expected


@pytest.mark.parametrize("length", [15, 16, 17, 47, 48, 254, 255, 256, 257, 5000])
@pytest.mark.parametrize("letters", ["a", "ab", "abcdefghijklmnopqrstuvwxyz"])
def test_words_around_each_limit_of_the_layout(length, letters):
    tokenizer = small_tokenizer()
    chooser = random.Random(length)
    word = "".join(chooser.choices(letters, k=length)).encode()
    data = b" ".join([word, word, b"the", word[1:], word])
    assert shared_encoder().encode(data).tolist() == reference_ids(tokenizer, data)


@pytest.mark.parametrize(("length", "at"), [(length, at) for length, at in HASHED_ALIKE if at])
def test_long_words_with_one_hash_and_one_beginning_are_told_apart(length, at):
    one, other = hashed_alike(length, at)
    assert one[:8] == other[:8]
    encoder = compiled(small_tokenizer())
    for data in (one, other, b".".join([other, one, one, other]), one):
        assert encoder.encode(data).tolist() == reference_ids(small_tokenizer(), data)


def test_two_merges_with_the_same_result_are_told_apart():
    vocab = LETTERS | {256: b"ab", 257: b"bc", 258: b"abc", 259: b"xb"}
    # "abc" is made of a+bc (late) and of ab+c (early).
    merges = [(b"x", b"b"), (b"b", b"c"), (b"a", b"b"), (b"ab", b"c"), (b"a", b"bc")]
    vocabulary = Vocabulary(vocab, merges)
    encoder, plain = CompiledEncoder(vocabulary), PlainEncoder(vocabulary)
    for text in ("abc", "xbc", "xabc", "abcabc", "aabbcc"):
        expected = encode_reference(text, vocab, merges)
        assert encoder.encode(text.encode()).tolist() == plain.encode(text) == expected


@pytest.mark.parametrize("size", [0, 1, 63, 64, 65, 65_535, 65_536, 65_537, 65_600, 200_000])
def test_reads_a_buffer_in_place_and_never_beyond_it(size):
    data = random_text(size, size)[:size]
    expected = shared_encoder().encode(data)
    # The same bytes at the very end of a mapping: a read past the end of its last page would kill the process.
    pages = -(-max(size, 1) // mmap.PAGESIZE)
    with mmap.mmap(-1, pages * mmap.PAGESIZE) as mapping:
        start = len(mapping) - size
        mapping[start:] = data
        view = memoryview(mapping)
        inner = view[start:]
        assert np.array_equal(shared_encoder().encode(inner), expected)
        inner.release()
        view.release()


def test_the_number_of_workers_and_the_size_of_blocks_do_not_change_the_ids():
    data = random_text(3, 3_000_000)
    expected = shared_encoder().encode(data)
    for workers in (2, 4):
        assert np.array_equal(shared_encoder().encode(data, workers), expected)
    for size, length in ((1, 1500), (1000, 30_000), (1 << 17, 500_000)):
        blocks = list(shared_encoder().blocks(data[:length], size, 2))
        assert np.array_equal(np.concatenate(blocks), shared_encoder().encode(data[:length]))


def test_texts_of_a_batch_are_each_for_themselves(monkeypatch):
    texts = [random_text(seed, seed * 7 % 900).decode("utf-8", "surrogateescape") for seed in range(300)]
    texts += ["", "<|e", "nd|>", "", "é" * 5000, "long " * 2000, "\udce9", "last"]
    monkeypatch.setattr("cs336_lib.bpe.encoding.compiled.GROUP", 4_000)
    for workers in (1, 2, 3):
        found = []
        for ids, ends in shared_encoder().encode_texts(texts, workers):
            found += np.split(ids, ends[:-1])
        assert len(found) == len(texts)
        for text, ids in zip(texts, found, strict=True):
            assert np.array_equal(ids, shared_encoder().encode(text.encode("utf-8", "surrogateescape")))


def test_a_full_table_of_words_is_emptied_without_changing_the_ids(monkeypatch):
    monkeypatch.setattr(encoder_workspace, "FIRST_CAPACITY", 4096)
    monkeypatch.setattr(encoder_workspace, "LAST_CAPACITY", 8192)
    chooser = random.Random(1)
    words = ["".join(chooser.choices("abcdefgh", k=chooser.randrange(2, 30))) for _ in range(20_000)]
    data = " ".join(words).encode()
    tokenizer = small_tokenizer()
    workspace = Workspace(MergeTables(vocabulary_of(tokenizer)))
    first, second = (workspace.encode(data, 0, len(data)) for _ in range(2))
    assert np.array_equal(first, second)
    assert first.tolist() == PlainEncoder(vocabulary_of(tokenizer)).encode(data.decode())


def test_a_table_that_grew_knows_the_words_that_it_knew(monkeypatch):
    monkeypatch.setattr(encoder_workspace, "FIRST_CAPACITY", 4096)
    chooser = random.Random(2)
    words = ["".join(chooser.choices("abcdefgh", k=chooser.choice([3, 9, 17, 40]))) for _ in range(9_000)]
    data = " ".join(words).encode()
    workspace = Workspace(MergeTables(vocabulary_of(small_tokenizer())))
    first, used = workspace.encode(data, 0, len(data)), int(workspace._progress[USED])
    assert workspace._progress[CAPACITY] > 4096 and used > 4096
    assert np.array_equal(workspace.encode(data, 0, len(data)), first) and workspace._progress[USED] == used


@pytest.mark.parametrize("size", [0, 1, 5, 16])
@pytest.mark.parametrize("room", [6, 10, 22])
def test_there_is_room_for_an_id_of_each_byte_and_one_more(room, size):
    """A kernel writes the second of two ids where there is but one."""
    for written in range(5):
        ids = np.arange(room, dtype=np.int32)
        larger = with_room(ids, written, size)
        assert len(larger) > written + size and larger[:written].tolist() == list(range(written))


@pytest.mark.timeout(60)
@pytest.mark.parametrize("run", ["a", "^", " ", "\n", "é", "\u3000", "ab", "random letters", "\xff"])
def test_a_megabyte_without_an_end_is_not_quadratic(run):
    if run == "random letters":
        text = "".join(random.Random(0).choices("abcdefghijklmnopqrstuvwxyz", k=1_000_000))
    else:
        text = run * (1_000_000 // len(run))
    data = text.encode("latin-1") if run == "\xff" else text.encode()
    tokenizer = small_tokenizer()
    ids = shared_encoder().encode(data)
    assert tokenizer.decode_bytes(ids) == data
    short = data[:12_000]
    plain = PlainEncoder(vocabulary_of(tokenizer)).encode(short.decode("utf-8", "surrogateescape"))
    assert shared_encoder().encode(short).tolist() == plain


def test_threads_share_an_encoder():
    texts = [random_text(seed, 30_000) for seed in range(8)]
    expected = [shared_encoder().encode(text) for text in texts]
    encoder = compiled(small_tokenizer())
    wrong = []

    def work(index):
        for _ in range(5):
            if not np.array_equal(encoder.encode(texts[index]), expected[index]):
                wrong.append(index)

    threads = [threading.Thread(target=work, args=(index,)) for index in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


@given(st.integers(0, 10**6), st.integers(1, 400))
def test_jobs_cover_the_buffer_and_cut_only_where_the_ids_allow(seed, size):
    tokenizer = small_tokenizer()
    data = random_text(seed, 1500)
    pieces = list(jobs(data, 0, len(data), size, vocabulary_of(tokenizer).specials.encoded))
    assert [start for start, _ in pieces] == [0, *(end for _, end in pieces[:-1])][: len(pieces)]
    assert b"".join(data[start:end] for start, end in pieces) == data
    ids = [i for start, end in pieces for i in reference_ids(tokenizer, data[start:end])]
    assert ids == reference_ids(tokenizer, data)


@pytest.mark.parametrize("specials", [[], ["a<|>", "<|x>"], ["<|end|>", "d|"]])
@pytest.mark.parametrize("seed", range(4))
def test_a_small_window_shows_no_place_that_is_none(monkeypatch, seed, specials):
    """Of bytes and of a string: each place is one of the whole text's, whatever the window cuts off at its ends."""
    monkeypatch.setattr(encoder_jobs, "_FIRST_WINDOW", 1)
    chooser = random.Random(seed)
    atoms = [*"aé你😀\u3000\uff17\U0001d7ce <|x>d", *specials, "'s"]
    text = "".join(chooser.choices(atoms, k=150))
    data, encoded = text.encode(), [token.encode() for token in specials]
    cuts = set(cut_places(data, encoded))
    assert {cut_before(data, 0, end, encoded) for end in range(1, len(data))} <= cuts | {0}
    wide = WideText.of(text)
    assert wide is not None
    found = {cut_before(wide, 0, end, encoded) for end in range(1, len(text))}
    assert {len(text[:place].encode()) for place in found} <= cuts | {0} and len(found) > 10


def test_a_buffer_without_a_place_to_cut_is_one_job():
    data = b"a" * 10_000
    assert cut_before(data, 0, 5000, []) == 0
    assert list(jobs(data, 0, len(data), 100, [])) == [(0, 10_000)]
