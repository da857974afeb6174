"""The encoder in plain Python with a memory of words: nothing to compile, fast enough for prompts and small files.

It adds three things to `definition_encoder`: a dictionary from pre-token to ids, so that each word is merged once; the
standard library's `re` for ASCII text, which finds the same pre-tokens about three times as fast as `regex`; and a heap
for long pre-tokens, so that a million of the same letter costs n log n.
"""

import heapq
import re
import unicodedata
from collections.abc import Callable, Mapping
from itertools import chain, pairwise

import regex

from cs336_lib.bpe.cutting.pattern import ASCII_PAT, PAT
from cs336_lib.bpe.rules import TextRules
from cs336_lib.bpe.vocabulary import Vocabulary

# Below this many bytes looking at every pair in each step beats keeping a heap (measured: even at about 40).
LONG_WORD = 48

# A word of 64 characters is rarely seen twice; remembering long ones would only fill the memory.
LONGEST_REMEMBERED = 64


class WordMemory(dict[str, tuple[int, ...]]):
    """Pre-token -> ids: a dictionary that works out what it lacks and forgets everything when it is full.

    Args:
        merge: works out the ids of one pre-token.
        limit: entries to keep at most; an entry takes about 200 bytes.

    Forgetting everything keeps the common words cheap: they are back after one miss each, and no bookkeeping is paid on
    a hit.
    """

    def __init__(self, merge: Callable[[bytes], tuple[int, ...]], limit: int) -> None:
        super().__init__()
        self._merge = merge
        self._limit = limit

    def __missing__(self, word: str) -> tuple[int, ...]:
        ids = self._merge(word.encode("utf-8", "surrogateescape"))
        if len(word) <= LONGEST_REMEMBERED:
            if len(self) >= self._limit:
                self.clear()
            self[word] = ids
        return ids


class PlainEncoder:
    """Encode strings with `regex` or `re` and a memory of words.

    Args:
        vocabulary: checked tokens, merges and special tokens.
        pattern: the pre-token pattern.
        rules: of the tokenizer.
        remember: words to remember at most.

    Any number of threads may use one encoder: they share its memory, whose single steps are atomic in CPython.

    >>> from cs336_lib.bpe.vocabulary import Vocabulary
    >>> vocab = {i: bytes([i]) for i in range(256)} | {256: b"hi"}
    >>> PlainEncoder(Vocabulary(vocab, [(b"h", b"i")], ["<s>"])).encode("hi there<s>")[:3]
    [256, 32, 116]
    """

    def __init__(
        self, vocabulary: Vocabulary, pattern: str = PAT, rules: TextRules | None = None, remember: int = 1 << 16
    ) -> None:
        self._rules = rules or TextRules()
        self._ranks = vocabulary.ranks()
        self._ids = vocabulary.ids
        self._split = vocabulary.specials.split
        self._has_specials, self._beginning = bool(vocabulary.specials), vocabulary.specials.beginning
        self._special_ids = vocabulary.special_ids
        # Where words are looked up whole, these are spelled otherwise than a word of the same bytes.
        self._unspelled = {special.encode() for special in vocabulary.special_ids if not special.isascii()}
        self._find: Callable[[str], list[str]] = (
            regex.compile(pattern).findall if pattern == PAT else pieces_of(pattern)
        )
        self._find_ascii: Callable[[str], list[str]] = re.compile(ASCII_PAT).findall if pattern == PAT else self._find
        self._ids_of = self.new_memory(remember)

    def new_memory(self, limit: int) -> Callable[[str], tuple[int, ...]]:
        """A word memory of its own, for a caller that must bound what it adds to the process."""
        return WordMemory(self._merge, limit).__getitem__

    def encode(self, text: str, ids_of: Callable[[str], tuple[int, ...]] | None = None) -> list[int]:
        """The ids of a string, special tokens included.

        Args:
            text: the string.
            ids_of: a memory from `new_memory`, in place of the shared one.

        Raises:
            ValueError: the text holds a lone surrogate that stands for no byte.
        """
        ids_of = ids_of or self._ids_of
        if text.isascii():
            find = self._find_ascii
        else:
            find, text = self._find, escaped_text(text)
        # chain and map keep the loop over words out of the interpreter: it is what makes this path worth having.
        if self._rules.changes_text:
            find = self._find_in_changed
        if not self._has_specials or self._beginning not in text:  # a look costs less than cutting
            return list(chain.from_iterable(map(ids_of, find(text))))
        parts = self._split(text)
        ids = list(chain.from_iterable(map(ids_of, find(parts[0]))))
        for i in range(1, len(parts), 2):
            ids.append(self._special_ids[parts[i]])
            ids += chain.from_iterable(map(ids_of, find(parts[i + 1])))
        return ids

    def _find_in_changed(self, text: str) -> list[str]:
        """The pre-tokens of a stretch between special tokens, changed as the rules say."""
        if self._rules.nfc:
            text = unicodedata.normalize("NFC", text)
        if self._rules.prefix_space and text and not text.startswith(" "):
            text = " " + text
        return self._find(text)

    def _merge(self, word: bytes) -> tuple[int, ...]:
        if self._rules.whole_words and word in self._ids and word not in self._unspelled:
            return (self._ids[word],)
        merge = merge_by_scanning if len(word) < LONG_WORD else merge_by_heap
        # Through a list, whose length is known: a tuple made of an iterator is allocated with ten places, and CPython
        # would keep 2,000 freed tuples of each length without ever using them again.
        try:
            return tuple([self._ids[token] for token in merge(word, self._ranks)])
        except KeyError as missing:
            raise ValueError(
                f"the vocabulary has no token for the byte 0x{missing.args[0][0]:02x}, which is in the text to encode "
                f"({word!r}); this library leaves no text out: add the byte to the vocabulary"
            ) from None


def pieces_of(pattern: str) -> Callable[[str], list[str]]:
    r"""Return a function that cuts a string at the matches of a pattern, and loses nothing of it.

    What lies between two matches is a piece of its own, as in Hugging Face tokenizers (a Split that is "Isolated");
    groups in the pattern change nothing.

    Raises:
        ValueError: it is empty, or no pattern of the `regex` package.

    >>> pieces_of(r"\p{N}+")("ab12, 3"), pieces_of(r"(a)b*")("abba")
    (['ab', '12', ', ', '3'], ['abb', 'a'])
    """
    compiled = checked_pattern(pattern)
    find = compiled.findall

    def with_gaps(text: str) -> list[str]:
        pieces, at = [], 0
        for match in compiled.finditer(text):
            start, end = match.span()
            if start > at:
                pieces.append(text[at:start])
            if end > start:
                pieces.append(text[start:end])
            at = max(at, end)
        return [*pieces, text[at:]] if at < len(text) else pieces

    def pieces(text: str) -> list[str]:
        found = find(text)
        # The common case, a pattern that covers every text, costs no loop.
        return found if sum(map(len, found)) == len(text) and "" not in found else with_gaps(text)

    return with_gaps if compiled.groups else pieces


def checked_pattern(pattern: str) -> "regex.Pattern[str]":
    """Compile a pattern.

    Raises:
        TypeError: it is no string.
        ValueError: it is empty, or not one of the `regex` package.
    """
    if not isinstance(pattern, str):
        raise TypeError(f"pattern must be a string, got {type(pattern).__name__}")
    if not pattern:
        raise ValueError("pattern is empty; leave it out to get GPT-2's")
    try:
        return regex.compile(pattern)
    except regex.error as error:
        raise ValueError(f"pattern {pattern!r} is none of the regex package: {error}") from None


def escaped_text(text: str) -> str:
    r"""The string that stands for the same bytes as `text`, with each byte that is not UTF-8 as one U+DC80..U+DCFF.

    Python reads undecodable bytes into these surrogates (`errors="surrogateescape"`, PEP 383), and so may the caller;
    several of them in a row may spell a proper character, which must then be treated as that character.

    Raises:
        ValueError: another lone surrogate, which stands for no byte; the message names the place.

    >>> escaped_text("caf\udcc3\udca9 \udcff")
    'café \udcff'
    """
    try:
        text.encode()
        return text
    except UnicodeEncodeError:
        pass
    try:
        return text.encode("utf-8", "surrogateescape").decode("utf-8", "surrogateescape")
    except UnicodeEncodeError as error:
        raise ValueError(
            f"the text holds the lone surrogate U+{ord(text[error.start]):04X} at character {error.start}, which UTF-8 "
            "cannot spell; replace it, for example with text.encode('utf-8', 'replace').decode()"
        ) from None


def merge_by_scanning(word: bytes, ranks: Mapping[tuple[bytes, bytes], int]) -> list[bytes]:
    """Merge a short pre-token: find the lowest rank among all pairs, merge there, repeat.

    >>> merge_by_scanning(b"aaaa", {(b"a", b"a"): 0, (b"aa", b"aa"): 1})
    [b'aaaa']
    """
    tokens = [word[i : i + 1] for i in range(len(word))]
    never = len(ranks)
    found = [ranks.get(pair, never) for pair in pairwise(tokens)]
    while found:
        lowest = min(found)
        if lowest == never:
            break
        at = found.index(lowest)  # the leftmost of equals, so repeats are taken left to right
        tokens[at : at + 2] = [tokens[at] + tokens[at + 1]]
        del found[at]
        if at:
            found[at - 1] = ranks.get((tokens[at - 1], tokens[at]), never)
        if at < len(found):
            found[at] = ranks.get((tokens[at], tokens[at + 1]), never)
    return tokens


def merge_by_heap(word: bytes, ranks: Mapping[tuple[bytes, bytes], int]) -> list[bytes]:
    """Merge a long pre-token in n log n steps: tokens in a linked list, candidate pairs in a heap of (rank, place).

    A heap entry whose pair has changed since is recognized when it comes up, and dropped.

    >>> merge_by_heap(b"a" * 7, {(b"a", b"a"): 0, (b"aa", b"aa"): 1})
    [b'aaaa', b'aa', b'a']
    """
    n = len(word)
    tokens = [word[i : i + 1] for i in range(n)]
    left, right = list(range(-1, n - 1)), list(range(1, n + 1))
    heap = [(ranks[pair], i) for i, pair in enumerate(pairwise(tokens)) if pair in ranks]
    heapq.heapify(heap)

    def offer(at: int) -> None:
        if at >= 0 and right[at] < n:
            rank = ranks.get((tokens[at], tokens[right[at]]))
            if rank is not None:
                heapq.heappush(heap, (rank, at))

    while heap:
        rank, at = heapq.heappop(heap)
        other = right[at]
        if other >= n or ranks.get((tokens[at], tokens[other])) != rank:
            continue
        tokens[at] += tokens[other]
        tokens[other] = b""
        right[at] = right[other]
        if right[at] < n:
            left[right[at]] = at
        offer(left[at])
        offer(at)
    return [token for token in tokens if token]
