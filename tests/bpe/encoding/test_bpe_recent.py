"""The table of recent words: what it must not mix up, and what it must not keep too long."""

import random
from collections import Counter

import numpy as np
import pytest
from bpe_texts import small_tokenizer
from hypothesis import given, settings
from hypothesis import strategies as st

from cs336_lib.bpe import Tokenizer
from cs336_lib.bpe.counting.progress import UNTOLD
from cs336_lib.bpe.counting.recent_words import MOST_SEEN
from cs336_lib.bpe.counting.word_table import SpecialTable, WordTable, padded
from cs336_lib.bpe.encoding import workspace as encoder_workspace
from cs336_lib.bpe.encoding.compiled import CompiledEncoder
from cs336_lib.bpe.encoding.workspace import PADDING, MergeTables, Workspace
from cs336_lib.bpe.plain.definition import count_words
from cs336_lib.bpe.plain.definition_encoder import encode_reference
from cs336_lib.bpe.vocabulary import Vocabulary

NO_SPECIALS = SpecialTable([])
BYTES = {i: bytes([i]) for i in range(256)}
# One pair merges, so that most words have an id for nearly each byte, and none of those here is a single one.
ONE_MERGE = Tokenizer(BYTES | {256: b"ab"}, [(b"a", b"b")])

alike = st.lists(
    st.text(alphabet="\0!a", min_size=1, max_size=10).map(str.encode) | st.sampled_from([b"abababab", b"abababaz"]),
    min_size=1,
    max_size=60,
)


def counted_in_turn(texts: list[bytes]) -> list[dict[bytes, int]]:
    """What one table says after each of the texts."""
    table, found = WordTable(), []
    for text in texts:
        table.count(padded(text), len(text), NO_SPECIALS)
        found.append(dict(table.words().items()))
    return found


@given(alike)
@settings(max_examples=100)
def test_words_with_nul_bytes_and_of_eight_bytes_are_told_apart(words):
    text = b" ".join(words)
    workspace = Workspace(MergeTables(Vocabulary(ONE_MERGE.vocab, ONE_MERGE.merges, [])))
    expected = encode_reference(text, ONE_MERGE.vocab, ONE_MERGE.merges, [])
    for _ in range(3):  # they are recent from the second time on
        assert workspace.encode(text, 0, len(text)).tolist() == expected
    counts = count_words(text)
    assert counted_in_turn([text] * 3) == [{word: n * times for word, n in counts.items()} for times in (1, 2, 3)]


@pytest.mark.parametrize("length", range(1, 20))
def test_words_that_begin_or_end_alike_are_told_apart(length):
    beginning, ending = b"x" * length, b"".join(bytes([97 + k % 26]) for k in range(length))
    words = [beginning[:size] for size in range(1, length + 1)] + [ending[-size:] for size in range(1, length + 1)]
    text = b" ".join(words * 40)
    encoder = CompiledEncoder(Vocabulary(ONE_MERGE.vocab, ONE_MERGE.merges, []))
    expected = encode_reference(text, ONE_MERGE.vocab, ONE_MERGE.merges, [])
    assert all(encoder.encode(text).tolist() == expected for _ in range(3))
    assert counted_in_turn([text])[0] == count_words(text)


@pytest.mark.parametrize("size", [1, 7, 8, 9, 15, 16, 17, 63, 64, 65, 1023, 1024, 1025, 1087, 1088, 1089, 2048, 5000])
def test_any_number_of_words_in_a_batch(size):
    chooser = random.Random(size)
    kinds = [b" a", b" ab", b" abc", b" cat", b" abababababab", b".", b" " + b"z" * 300]
    text = b"".join(chooser.choices(kinds, k=size))
    encoder = CompiledEncoder(Vocabulary(ONE_MERGE.vocab, ONE_MERGE.merges, []))
    expected = encode_reference(text, ONE_MERGE.vocab, ONE_MERGE.merges, [])
    assert all(encoder.encode(text).tolist() == expected for _ in range(3))
    assert counted_in_turn([text])[0] == count_words(text)


@pytest.mark.parametrize("size", [*range(1, 40), 1000, 1024, 1025, 3000])
@pytest.mark.parametrize("kinds", [(b"a", b"!"), (b"a", b"!!!")])
def test_nothing_is_written_behind_the_room_for_an_id_for_each_byte(size, kinds):
    text = (b"".join(kinds) * size)[:size]
    workspace = Workspace(MergeTables(Vocabulary(ONE_MERGE.vocab, ONE_MERGE.merges, [])))
    memory = np.frombuffer(text + bytes(PADDING), np.uint8)
    for _ in range(2):
        ids = np.full(size + 1 + 64, -7, np.int32)
        written = workspace._run_one(memory.ctypes.data, 0, size, ids.ctypes.data, 0)
        assert ids[:written].tolist() == list(text)
        assert (ids[size + 1 :] == -7).all()


def test_what_is_recent_is_forgotten_with_the_table_of_words(monkeypatch):
    # Its answers are places in a pool that begins anew.
    monkeypatch.setattr(encoder_workspace, "FIRST_CAPACITY", 4096)
    monkeypatch.setattr(encoder_workspace, "LAST_CAPACITY", 4096)
    chooser = random.Random(3)
    usual = [b" xyz", b" qrstu", b" vwxyz", b" mnopqrs"]
    words = []
    for _ in range(30_000):
        words.append(chooser.choice(usual))
        words.append(b" " + bytes(chooser.choices(range(97, 123), k=chooser.choice([5, 7, 12]))))
    text = b"".join(words)
    workspace = Workspace(MergeTables(Vocabulary(ONE_MERGE.vocab, ONE_MERGE.merges, [])))
    expected = np.array(encode_reference(text, ONE_MERGE.vocab, ONE_MERGE.merges, []))
    for _ in range(2):
        assert np.array_equal(workspace.encode(text, 0, len(text)), expected)


def test_counts_are_whole_whenever_they_are_asked_for():
    chooser = random.Random(4)
    texts = []
    for _ in range(30):
        rare = [b" " + bytes(chooser.choices(range(97, 123), k=6)) for _ in range(chooser.randrange(3000))]
        words = rare + [b" the", b" of", b"."] * chooser.randrange(500)
        chooser.shuffle(words)
        texts.append(b"".join(words))
    total, expected = Counter(), []
    for text in texts:
        total += count_words(text)
        expected.append(dict(total))
    assert counted_in_turn(texts) == expected


@pytest.mark.parametrize("left", [0, 1, 500, 1023, 1024, 5000])
def test_a_word_is_counted_as_often_as_it_comes(left):
    # A row of recent words counts up to a limit; the table is told before any could reach it.
    text = b" a b" * 3000
    table = WordTable()
    table.count(padded(text), len(text), NO_SPECIALS)
    table._progress[UNTOLD] = MOST_SEEN - left
    table.count(padded(text), len(text), NO_SPECIALS)
    assert 0 < table._progress[UNTOLD] <= MOST_SEEN
    assert dict(table.words().items()) == {b" a": 6000, b" b": 6000}


def test_more_of_one_word_than_a_row_counts():
    times = MOST_SEEN + 5000
    text = b" a" * times
    assert counted_in_turn([text])[0] == {b" a": times}


def test_counts_added_from_elsewhere_and_counted_here_add_up():
    text = b" the cat, the mat" * 50
    other = WordTable()
    other.count(padded(text), len(text), NO_SPECIALS)
    table = WordTable()
    for _ in range(3):
        table.count(padded(text), len(text), NO_SPECIALS)
        table.add(other.words())
    assert dict(table.words().items()) == {word: 6 * n for word, n in count_words(text).items()}


def test_ids_do_not_depend_on_what_a_workspace_saw_before():
    tokenizer = small_tokenizer()
    vocabulary = Vocabulary(tokenizer.vocab, tokenizer.merges, tokenizer.special_tokens)
    chooser = random.Random(5)
    workspace = Workspace(MergeTables(vocabulary))
    kinds = [b" the", b" cat", b"'s", b" 42", b"\n\n", b" caf\xc3\xa9", b"\0", b" a\0"]
    for _ in range(30):
        text = b"".join(chooser.choices(kinds, k=200))
        fresh = Workspace(MergeTables(vocabulary)).encode(text, 0, len(text))
        assert np.array_equal(workspace.encode(text, 0, len(text)), fresh)
