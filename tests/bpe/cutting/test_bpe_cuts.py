"""A file may be counted in pieces of any size by anybody without changing a count."""

import os
from collections import Counter
from itertools import pairwise

import pytest
from bpe_corpora import broken_texts, multilingual_text, special_lists, texts_with_specials
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from cs336_lib.bpe.counting import threads as counting
from cs336_lib.bpe.counting.threads import Shard, count_file, count_shard
from cs336_lib.bpe.cutting.cuts import CutFile, FileChangedError, cut_places, fingerprint
from cs336_lib.bpe.plain.definition import count_words, pretokenize, split_at_specials
from cs336_lib.native.library import PADDING

any_text = st.one_of(broken_texts, texts_with_specials)


def words_in_order(text: bytes, specials: list[str]) -> list[bytes]:
    return [word for stretch in split_at_specials(text, specials) for word in pretokenize(stretch)]


@given(any_text, special_lists)
@example(b"<|a|> b", ["<|a|>", "a"])
@settings(max_examples=100, deadline=None)
def test_a_text_cut_at_a_cut_gives_the_pretokens_of_the_whole(text, specials):
    whole = words_in_order(text, specials)
    for place in cut_places(text, [token.encode() for token in specials]):
        assert words_in_order(text[:place], specials) + words_in_order(text[place:], specials) == whole


@given(any_text, special_lists, st.integers(1, 40))
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_pieces_of_any_size_give_the_pretokens_of_the_whole(tmp_path, text, specials, size):
    path = tmp_path / "text"
    path.write_bytes(text)
    with path.open("rb", buffering=0) as file:
        pieces = CutFile(file, len(text), [token.encode() for token in specials])
        words = []
        for start in range(0, len(text), size):
            piece, length = pieces.read_piece(start, min(start + size, len(text)))
            words += words_in_order(piece[:length].tobytes(), specials)
            assert not length or not piece[length : length + PADDING].any()
    assert words == words_in_order(text, specials)


@pytest.mark.parametrize(
    "line",
    [
        multilingual_text(60_000).replace(b"\n", b" "),
        multilingual_text(60_000).replace(b"\n", b"").replace(b"\r", b"").replace(b" ", b""),
        "\u4f60\u597d\uff0c\u4e16\u754c\u3002".encode() * 3_000,
        b"a" * 50_000,
        "\u4f60".encode() * 17_000,
        b" " * 50_000 + b"x",
        b"'s" * 20_000,
        b"\xff" * 50_000,
    ],
    ids=["words", "no space", "no ASCII", "one letter", "one wide letter", "spaces", "apostrophes", "no UTF-8"],
)
def test_one_long_line_is_counted_exactly(tmp_path, monkeypatch, line):
    monkeypatch.setattr(counting, "PIECE_BYTES", 4_000)
    path = tmp_path / "line.txt"
    path.write_bytes(line)
    assert dict(count_file(path, [], 2).items()) == count_words(line)


@pytest.mark.parametrize("size", range(200, 330, 7))
def test_special_tokens_at_the_border_of_a_window_are_not_cut(tmp_path, size):
    text = b"a" * size + b"<|a long special token|> " * 40
    path = tmp_path / "text"
    path.write_bytes(text)
    with path.open("rb", buffering=0) as file:
        pieces = CutFile(file, len(text), [b"<|a long special token|>"])
        cuts = {pieces.first_cut(start, len(text) + 1) for start in range(1, len(text))}
    assert cuts == {size, *range(size + 24, len(text), 25)}


def test_a_line_with_cuts_is_read_in_small_pieces(tmp_path):
    line = "\u4f60\u597d\uff0c\u4e16\u754c\u3002".encode() * 3_000
    path = tmp_path / "line.txt"
    path.write_bytes(line)
    with path.open("rb", buffering=0) as file:
        pieces = CutFile(file, len(line), [])
        sizes = [pieces.read_piece(start, min(start + 500, len(line)))[1] for start in range(0, len(line), 500)]
    assert sum(sizes) == len(line)
    assert max(sizes) < 520


@pytest.fixture
def corpus(tmp_path, monkeypatch):
    monkeypatch.setattr(counting, "PIECE_BYTES", 10_000)
    text = multilingual_text(300_000, special="<|endoftext|>")
    path = tmp_path / "corpus.txt"
    path.write_bytes(text)
    return path, count_words(text, ["<|endoftext|>"])


@pytest.mark.parametrize("workers", range(1, 9))
def test_any_number_of_threads_gives_the_same_counts(corpus, workers):
    path, expected = corpus
    assert dict(count_file(path, ["<|endoftext|>"], workers).items()) == expected


def test_shards_of_any_borders_add_up(corpus):
    path, expected = corpus
    size = path.stat().st_size
    total = Counter()
    borders = [0, 1, 2, 5_000, 5_001, 77_777, 200_000, size - 1, size]
    for start, stop in pairwise(borders):
        shard = Shard(str(path), start, stop, ("<|endoftext|>",), fingerprint(path.stat()))
        total.update(dict(count_shard(shard).items()))
    assert total == expected


def test_progress_adds_up_to_the_file(corpus):
    path, _ = corpus
    reported = []
    count_file(path, [], 2, reported.append)
    assert sum(reported) == path.stat().st_size
    assert len(reported) > 5


def test_a_file_that_grows_while_it_is_read_is_an_error(corpus):
    path, _ = corpus

    def grow(size):
        with path.open("ab") as file:
            file.write(b" more")

    with pytest.raises(FileChangedError, match=r"changed while it was read: it had 300,\d+ bytes"):
        count_file(path, [], 1, grow)


def test_a_file_that_is_written_over_while_it_is_read_is_an_error(corpus):
    path, _ = corpus
    before = path.stat().st_mtime_ns

    def write_over(size):
        path.write_bytes(path.read_bytes().swapcase())
        os.utime(path, ns=(before, before + 1_000))

    with pytest.raises(FileChangedError, match=r"it had (300,\d+) bytes, .* and now has \1 bytes, dated"):
        count_file(path, [], 1, write_over)


def test_a_file_that_shrinks_while_it_is_read_is_an_error(corpus):
    path, _ = corpus
    with pytest.raises(FileChangedError, match="became shorter"):
        count_file(path, [], 1, lambda size: os.truncate(path, 100))


def test_an_error_of_one_thread_ends_the_others(corpus):
    path, _ = corpus

    def fail(size):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        count_file(path, [], 4, fail)
