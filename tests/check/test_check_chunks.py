"""A single cut within the texts of the questions about chunks, or a part left out, changes what is learned."""

from collections import Counter

import pytest

from cs336_lib.check.child import bpe_rules as rules
from cs336_lib.check.child.questions.bpe_chunks import END, LARGE, RUN, SMALL, documents, in_runs

SIZES = [
    *(2**power for power in range(10, 21)),
    *(many * 1000 for many in (1, 4, 8, 10, 16, 32, 50, 64, 100, 128, 200, 250, 256, 300, 400, 500, 512, 600, 750)),
    *(SMALL // parts for parts in (2, 3, 4, 6, 8, 12, 16, 24, 32)),
    1_000_000,
]
PERIOD = RUN + 2
RIGHT = {space: rules.train(in_runs(space, 500), 256 + size) for space, size in (("\n", 8), (" ", 9))}
# Where a chunk ends that may be so long, in a text, by a character that it looks for.
ENDS = {
    "anywhere": lambda text, end, _: end,
    "after the last": lambda text, end, space: text.rfind(space, 0, end) + 1,
    "before the last": lambda text, end, space: text.rfind(space, 0, end),
    "after the next": lambda text, end, space: text.find(space, end) + 1,
    "before the next": lambda text, end, space: text.find(space, end),
}


def learned(text, places, most):
    """The merges of a text that is cut at some places."""
    words = Counter()
    for begin, end in zip([0, *places], [*places, len(text)], strict=True):
        words.update(rules.words_in(text[begin:end]))
    as_bytes = Counter({tuple(bytes([b]) for b in word.encode()): times for word, times in words.items()})
    return rules.train_words(as_bytes, most)


@pytest.mark.parametrize("space", RIGHT, ids=["newlines", "spaces"])
def test_what_is_not_cut_gives_the_right_merges(space):
    assert learned(in_runs(space, SMALL), [], len(RIGHT[space])) == RIGHT[space]


def seen(text, place, space):
    """Whether one cut changes the merges: of what is near it, because the rest of the text has no part in it."""
    first = max(0, (place // PERIOD - 40)) * PERIOD
    near = text[:1] + text[1 + first : 1 + first + 80 * PERIOD] + text[1 - PERIOD :]
    return learned(near, [place - first], len(RIGHT[space])) != RIGHT[space]


@pytest.mark.parametrize("how", ENDS)
@pytest.mark.parametrize("space", RIGHT, ids=["newlines", "spaces"])
def test_chunks_of_any_usual_size_are_seen(how, space):
    """Each by itself: one of its first cuts falls where it must not, and four of five of all sizes' first cuts do."""
    text = in_runs(space, SMALL)
    ends = {size: [ENDS[how](text, size * n, space) for n in range(1, 5) if size * n < SMALL] for size in SIZES}
    found = {size: [seen(text, end, space) for end in of_size] for size, of_size in ends.items()}
    assert not [size for size, marks in found.items() if not any(marks)]
    assert sum(marks[0] for marks in found.values()) > 0.8 * len(SIZES)


@pytest.mark.check
@pytest.mark.parametrize("size", [2**20, 2**21, 2**22, 2**23, 2**24, 2_000_000, 5_000_000, 10_000_000, 16_000_000])
@pytest.mark.parametrize("space", RIGHT, ids=["newlines", "spaces"])
def test_cuts_in_the_large_text_are_seen(size, space):
    text = in_runs(space, LARGE)
    places = list(range(size, len(text), size))
    assert learned(text, places, len(RIGHT[space])) != RIGHT[space]


def test_the_million_characters_of_documents_have_the_merges_that_are_told():
    text, merges = documents()
    assert len(text) > 1_000_000 and rules.train_words(words_between(text), 100) == merges
    parts = text.split(END)
    for some in (parts[1:], parts[:-1], parts[0::2], parts[1::2], parts[: len(parts) // 2], parts[len(parts) // 2 :]):
        assert rules.train_words(words_between(END.join(some)), 100) != merges


def words_between(text):
    counts = Counter(word for part in text.split(END) for word in rules.words_in(part))
    return Counter({tuple(bytes([b]) for b in word.encode()): times for word, times in counts.items()})
