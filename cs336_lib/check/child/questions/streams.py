"""encode_iterable: a stream of strings, cut anywhere, gives the ids of the joined text (problem tokenizer)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice

from .. import bpe_rules as rules
from ..case import Case, check
from .tokenizer import DEFINITION, END, MERGES, tokenizer_of

BY_ITSELF = (
    "each string of the stream is encoded by itself; a pre-token that goes on in the next string must be held back"
)


def stream(case: Case, chunks: list[str], specials: Sequence[str] | None = None) -> None:
    """Hold the ids of a stream against those of its joined text."""
    right = rules.encode("".join(chunks), rules.vocabulary(MERGES, specials or ()), MERGES, specials or ())
    case.same(
        lambda: [int(i) for i in tokenizer_of(case, specials)[0].encode_iterable(iter(chunks))],
        right,
        f"list(encode_iterable({chunks})), special_tokens {specials}",
    )


@check(
    "tokenizer.stream",
    "a stream cut between words",
    cause="the ids of each string are yielded as a list",
    section="3.5",
    known=DEFINITION,
    official=True,
    after=("two", "order", "example", "vocab_order", "pattern", "empty"),
)
def _(case: Case) -> None:
    stream(case, ["the cat", " ate", " the hat"])


@check(
    "tokenizer.stream_lines",
    "blank lines of a file: newlines in a row are one pre-token",
    cause=BY_ITSELF,
    section="3.5",
    known=DEFINITION,
    after=("stream", "two", "order", "example", "vocab_order", "pattern"),
)
def _(case: Case) -> None:
    stream(case, ["a\n", "\n", "\n", "b"])


@check(
    "tokenizer.stream_file",
    "an open file with blank lines",
    cause=BY_ITSELF,
    section="3.5",
    known=DEFINITION,
    after=("stream", "two", "order", "example", "vocab_order", "pattern", "stream_word"),
)
def _(case: Case) -> None:
    text = "the hat was\n\n\nnothing like\n\n  the other\n\n"
    path = case.folder / "lines.txt"
    path.write_text(text, encoding="utf-8", newline="")
    right = rules.encode(text, rules.vocabulary(MERGES), MERGES)

    def read() -> list[int]:
        with path.open(encoding="utf-8", newline="") as lines:
            return [int(i) for i in tokenizer_of(case)[0].encode_iterable(lines)]

    case.same(read, right, f"list(encode_iterable(file)), a file that holds {text!r}")


@check(
    "tokenizer.stream_word",
    "a cut inside a word changes nothing",
    cause=BY_ITSELF,
    section="3.5",
    known=DEFINITION,
    after=("stream", "two", "order", "example", "vocab_order", "pattern"),
)
def _(case: Case) -> None:
    stream(case, ["th", "e c", "at", "'", "s  ", " hat"])


@check(
    "tokenizer.stream_special",
    "a cut inside a special token changes nothing",
    cause=BY_ITSELF,
    section="3.5",
    known=DEFINITION,
    after=("stream", "two", "order", "example", "vocab_order", "pattern", "special"),
)
def _(case: Case) -> None:
    stream(case, ["the<|endof", "text|>c", "at<|", "endoftext|>"], [END])


@check(
    "tokenizer.stream_special_longest",
    "a special token that may still grow into a longer one is waited for",
    cause="the shorter special token is yielded at once, although the longer one ends in the next string",
    section="3.5",
    known=DEFINITION,
    kind="expect",
    after=(
        "stream_special",
        "special_longest",
        "stream",
        "two",
        "order",
        "example",
        "vocab_order",
        "pattern",
        "special",
    ),
)
def _(case: Case) -> None:
    stream(case, [f"the{END}", f"{END} cat"], [END, END + END])


@check(
    "tokenizer.stream_empty",
    "empty strings, and no strings",
    cause="the first or last character of an empty string is looked at",
    section="3.5",
    known=DEFINITION,
    after=("stream", "two", "order", "example", "vocab_order", "pattern", "empty"),
)
def _(case: Case) -> None:
    stream(case, [])
    stream(case, ["", "the", "", " cat", ""])


@check(
    "tokenizer.stream_lazy",
    "ids come before the stream has ended",
    cause="the stream is read to its end, or joined, first; the handout asks for constant memory",
    section="3.5",
    known="a stream without an end",
    hangs=True,
    after=("stream", "two", "order", "example", "vocab_order", "pattern"),
)
def _(case: Case) -> None:
    taken = 0

    def endless() -> Iterator[str]:
        nonlocal taken
        while True:
            taken += 1
            if taken > 300_000:
                raise RuntimeError("300,000 strings were read, and no id has come")
            yield "the cat ate the hat\n"

    case.say("islice(encode_iterable(an endless stream of lines), 40)", "40 ids, soon")
    tokenizer, vocab = tokenizer_of(case)
    ids = [int(i) for i in islice(iter(tokenizer.encode_iterable(endless())), 40)]
    right = rules.encode("the cat ate the hat\n" * 12, vocab, MERGES)[:40]
    case.true(ids == right, ids)
