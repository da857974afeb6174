"""What 2026 asks of a tokenizer, held by ours: special tokens are boundaries, line ends behind them stay whole."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cs336_lib.bpe import Tokenizer, train_bpe
from cs336_lib.bpe.plain import count_words

EOT = "<|endoftext|>"
LINES = Tokenizer({**{i: bytes([i]) for i in range(256)}, 256: b"\n\n"}, [(b"\n", b"\n")], [EOT])
END = LINES.encode(EOT)[0]


@pytest.mark.parametrize(
    ("text", "ids"),
    [
        ("\n\n", [256]),
        (EOT + "\n\n", [END, 256]),
        ("a" + EOT + "\n\n", [97, END, 256]),
        (EOT + "\n\na!", [END, 10, 10, 97, 33]),  # the last of several line ends stands alone before a word
        (EOT + "\n\n\na", [END, 256, 10, 97]),
        (EOT + "\n\n" + EOT, [END, 256, END]),
    ],
)
def test_line_ends_behind_a_special_token_are_a_stretch_of_their_own(text, ids):
    assert LINES.encode(text) == ids
    assert list(LINES.encode_iterable(text)) == ids


def test_special_tokens_are_boundaries_and_are_not_counted(tmp_path):
    """Cut out, the text has one pair; left in, '<|' would be the most frequent one."""
    path = tmp_path / "text.txt"
    path.write_text(f"xy{EOT}" * 50 + "xy")
    vocab, merges = train_bpe(path, 256 + 1 + 20, [EOT])
    assert merges == [(b"x", b"y")]
    assert not [token for token in vocab.values() if b"<|" in token and token != EOT.encode()]


def cuts(data, parts, token, piece):
    """Cut before the first token that is seen behind each even share, looking piece by piece."""
    found = {0, len(data)}
    for n in range(1, parts):
        at, place = n * len(data) // parts, -1
        while place < 0 and at < len(data):
            place = data.find(token, at, at + piece)
            at += piece
        found.add(place if place >= 0 else len(data))
    return sorted(found)


@given(
    st.lists(st.sampled_from(["a", " b", "\n", EOT, "<|end", "é", "  ", "1"]), max_size=60).map("".join),
    st.integers(1, 7),
    st.integers(1, 40),
)
def test_a_special_token_that_a_chunk_finder_overlooks_only_moves_the_cut(text, parts, piece):
    data = text.encode()
    shares = [data[a:b] for a, b in pairwise(cuts(data, parts, EOT.encode(), piece))]
    counts = [count_words(share, [EOT]) for share in shares]
    assert sum(counts, start=type(count_words(b""))()) == count_words(data, [EOT])
