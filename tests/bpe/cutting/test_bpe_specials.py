"""Special tokens, ten or thousands of them: found where the definition finds them, at the same cost."""

import math
import random
import re
import time

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from cs336_lib.bpe import Tokenizer, train_bpe
from cs336_lib.bpe.counting.word_table import SpecialTable, WordTable, padded
from cs336_lib.bpe.plain.definition import count_words, split_at_specials
from cs336_lib.bpe.specials import Spans, SpecialTokens, any_of
from cs336_lib.data import encode_file
from cs336_lib.data.pieces import SpecialEnds

TOKENS = st.lists(st.text(alphabet="<|>abé", min_size=1, max_size=6), max_size=12)
TEXT = st.text(alphabet="<|>abé ", max_size=40)
RESERVED = [f"<|reserved_special_token_{i}|>" for i in range(1_090)]
TEN = ["<|endoftext|>", "<|end|>", "<s>", "</s>", "<pad>", "<unk>", "[INST]", "[/INST]", "<|im_start|>", "<|im_end|>"]


@given(TOKENS, TEXT)
def test_the_longest_one_at_each_place_is_found(tokens, text):
    longest_first = sorted(set(tokens), key=len, reverse=True)
    plain = re.compile("|".join(map(re.escape, longest_first)) or "(?!)")
    assert re.findall(any_of(tokens), text) == plain.findall(text)
    stretches = SpecialTokens(tokens).split(text)[::2]
    assert [stretch.encode() for stretch in stretches] == split_at_specials(text.encode(), tokens)


def test_tokens_inside_each_other_go_as_deep_as_they_like():
    tokens = ["<" * size for size in range(1, 300)] + ["<" * 200 + "|" * size for size in range(1, 200)]
    assert re.findall(any_of(tokens), "<" * 299 + "<<>" + "<" * 200 + "||") == ["<" * 299, "<<", "<" * 200 + "||"]


@given(TOKENS, TEXT)
@example(["<|a|>", "a"], "<|a|> b")  # a short one inside ends before the long one does
@example(["abab", "ba", "b"], "ababa")
def test_the_places_that_a_token_crosses_are_those_of_the_definition(tokens, text):
    window, encoded = text.encode(), [token.encode() for token in tokens]
    spans = Spans(window, encoded)
    found = [(a, a + len(t)) for t in encoded for a in range(len(window)) if window.startswith(t, a)]
    for place in range(len(window) + 1):
        assert spans.cross(place) == any(a < place < b for a, b in found)


@settings(deadline=None)  # the first call may compile
@given(TOKENS, TEXT)
def test_the_compiled_search_finds_what_the_definition_finds(tokens, text):
    encoded, data = [token.encode() for token in dict.fromkeys(tokens)], text.encode()
    table = WordTable()
    table.count(padded(data), len(data), SpecialTable(encoded))
    assert dict(table.words().items()) == count_words(data, tokens)
    ours = Tokenizer({i: bytes([i]) for i in range(256)}, [], tokens)
    ids = ours._encoding._plain.encode(text)
    from cs336_lib.bpe.encoding.compiled import CompiledEncoder

    assert CompiledEncoder(ours._vocabulary).encode(data).tolist() == ids


def html(size):
    chooser = random.Random(3)
    words = [
        b"<div class='a'>",
        b"</div>",
        b"<p>",
        b"</p>\n",
        b"<span>",
        b"</span>",
        b"text ",
        b"more ",
        b"<|x|>",
        b"&lt;",
    ]
    text = b"".join(chooser.choices(words, k=size // 7))
    return (text + b"<|endoftext|>\n") * 4


def quickest(work, times=3):
    """Return the least processor time of several tries; what other programs take does not count."""
    took = []
    for _ in range(times):
        began = time.process_time()
        work()
        took.append(time.process_time() - began)
    return min(took)


def test_a_thousand_special_tokens_cost_what_ten_do(tmp_path):
    """Training, encoding a file, a stream and a string, compiled and plain, on HTML: nearly the same."""
    path = tmp_path / "page.html"
    path.write_bytes(html(350_000))
    text = path.read_text()
    few, many = (Tokenizer({i: bytes([i]) for i in range(256)}, [], tokens) for tokens in (TEN, TEN + RESERVED))
    other = r"\p{L}+|\s+|[^\s\p{L}]+"
    few_plain, many_plain = (
        Tokenizer({i: bytes([i]) for i in range(256)}, [], tokens, pattern=other) for tokens in (TEN, TEN + RESERVED)
    )

    def encode(tokenizer):
        encode_file(tokenizer, path, tmp_path / "out", resume=False, part_bytes=100_000, workers=1)

    tries = {
        "train": lambda tokens: train_bpe(path, 256 + len(tokens) + 20, tokens, workers=1),
        "encode": lambda tokens: few.encode_to_array(text) if tokens is TEN else many.encode_to_array(text),
        "stream": lambda tokens: list((few if tokens is TEN else many).encode_iterable([text[:60_000]])),
        "plain": lambda tokens: (few_plain if tokens is TEN else many_plain).encode(text[:60_000]),
        "file": lambda tokens: encode(few if tokens is TEN else many),
    }
    thousand = TEN + RESERVED
    for name, work in tries.items():
        ten = more = math.inf
        for _ in range(8):  # on a busy machine
            ten = min(ten, quickest(lambda: work(TEN)))  # noqa: B023
            more = min(more, quickest(lambda: work(thousand)))  # noqa: B023
            if more <= 1.5 * ten:  # one after the other they cost a hundred times as much
                break
        else:
            pytest.fail(f"{name}: {ten * 1e3:.1f} ms with ten, {more * 1e3:.1f} ms with 1,100")


def test_cutting_at_dense_special_tokens_takes_no_time(tmp_path):
    (tmp_path / "lines").write_bytes(b"ab\n" * 40_000)
    began = time.perf_counter()
    with (tmp_path / "lines").open("rb", buffering=0) as file:
        ends = SpecialEnds(file, 120_000, [b"\n"])
        assert (ends.first_cut(1, 120_000), ends.first_cut(60_001, 120_000)) == (3, 60_003)
    assert time.perf_counter() - began < 1.0  # it took a minute when each was compared with all


@given(st.lists(st.text("<|xé😀", min_size=1, max_size=5), max_size=4), st.text("<|xé😀a", max_size=20))
@example(["<|a|>", "<|b|>"], "x<|b|>")
@example(["x", "é"], "é")
@example([], "")
def test_a_text_without_what_all_begin_with_has_none_of_them(tokens, text):
    specials = SpecialTokens(tokens)
    assert all(token.startswith(specials.beginning) for token in tokens)
    if specials and specials.beginning not in text:
        assert specials.split(text) == [text]
    longer = {token[: len(specials.beginning) + 1] for token in tokens}
    assert not tokens or len(longer) > 1 or specials.beginning in tokens, "nothing longer would do"
