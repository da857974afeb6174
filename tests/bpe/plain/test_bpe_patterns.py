"""Whatever the pattern: no text is lost, and it is cut where Hugging Face tokenizers cuts it."""

import random

import pytest
from bpe_texts import SCRIPTS
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Regex, pre_tokenizers

from cs336_lib.bpe import Tokenizer
from cs336_lib.bpe.plain.definition_encoder import cut, encode_reference
from cs336_lib.bpe.plain.encoder import pieces_of

BYTES = {i: bytes([i]) for i in range(256)}
MERGES = [(b"t", b"h"), (b"1", b"2"), (b" ", b"a"), (b"\n", b"\n"), (b"a", b"b")]
VOCAB = {**BYTES, **{256 + i: a + b for i, (a, b) in enumerate(MERGES)}}
PATTERNS = [
    r"\p{L}+",
    r"\p{N}",
    r"\w+",
    r".",
    r"(\p{L})\p{L}*",
    r"(a)|(b)|\s+",
    r"(?:the|a) ?",
    r" ?\p{L}+|\p{N}{1,3}",
    r"a*",
    r"(?=b)",
    r"\b",
    r"[^\r\n]+",
]
TEXTS = ["", "a", "ab12cd", "Once upon\n a time", "the cat, 12 dogs  and\r\n\t3 4 56789", *SCRIPTS]


@pytest.mark.parametrize("pattern", PATTERNS)
@pytest.mark.parametrize("specials", [[], ["<s>", "12"]])
def test_no_text_is_lost_and_the_definition_agrees(pattern, specials):
    tokenizer = Tokenizer(VOCAB, MERGES, specials, pattern=pattern)
    for text in TEXTS:
        text = f"{text}<s>{text}"
        ids = tokenizer.encode(text)
        assert tokenizer.decode(ids) == text
        assert ids == encode_reference(text, tokenizer.vocab, MERGES, specials, pattern)
        assert list(tokenizer.encode_iterable(random.Random(0).sample(list(text), 0) or text)) == ids


@pytest.mark.parametrize("pattern", PATTERNS)
@settings(max_examples=40, deadline=None)
@given(text=st.text(alphabet="ab12 \n\t,.the" + "\u00e9\u4f60\U0001f600", max_size=40))
def test_a_text_is_cut_as_the_definition_cuts_it(pattern, text):
    assert pieces_of(pattern)(text) == cut(text, pattern)
    assert "".join(cut(text, pattern)) == text


@pytest.mark.parametrize("pattern", [p for p in PATTERNS if p not in (r"a*", r"(?=b)", r"\b", r"\w+")])
def test_a_text_is_cut_as_tokenizers_cuts_it(pattern):
    """But for patterns that match nothing, and for \\w, which is another class there."""
    split = pre_tokenizers.Split(Regex(pattern), "isolated")
    for text in TEXTS:
        if text:
            assert pieces_of(pattern)(text) == [piece for piece, _ in split.pre_tokenize_str(text)]


@pytest.mark.parametrize(
    ("pattern", "error", "said"),
    [("", ValueError, "empty"), ("(", ValueError, "none of the regex package"), (5, TypeError, "must be a string")],
)
def test_a_pattern_that_is_none_is_refused(pattern, error, said):
    with pytest.raises(error, match=said):
        Tokenizer(VOCAB, MERGES, pattern=pattern)
