"""Cut a big buffer of bytes into jobs that can be encoded one by one, in any order, by any number of threads.

`cutting.cuts` says where no pre-token and no special token can cross. Here the last such place before a given one is
wanted, so only a small window of the buffer is looked at.
"""

from collections.abc import Iterator, Sequence

from cs336_lib.bpe.cutting.cuts import cut_places, last_cut
from cs336_lib.bpe.encoding.wide_text import WideText
from cs336_lib.bpe.specials import Spans

_FIRST_WINDOW = 64
_LAST_WINDOW = 1 << 16
_STRING_WINDOW = 1 << 13
_LONGEST_SYMBOL = 4


def jobs(
    data: "bytes | memoryview | WideText", start: int, end: int, size: int, special_tokens: Sequence[bytes]
) -> Iterator[tuple[int, int]]:
    """Cut `data[start:end]` into jobs of about `size` bytes, or characters of a string.

    Args:
        data: the buffer.
        start: must be a cut, as 0 is.
        end: likewise.
        size: a job is longer only if there is no place to cut in its last 64 KiB or so, or 8,192 characters.
        special_tokens: encoded.

    Yields:
        Start and end of each job.

    >>> text = b"The cat sat on a mat"
    >>> [text[first:last] for first, last in jobs(text, 0, len(text), 12, [])]
    [b'The cat', b' sat on', b' a mat']
    """
    while start < end:
        reach, cut = size, start
        while cut == start and start + reach < end:
            cut = cut_before(data, start, start + reach, special_tokens)
            reach *= 2
        if cut == start:
            cut = end
        yield start, cut
        start = cut


def cut_before(data: "bytes | memoryview | WideText", start: int, end: int, special_tokens: Sequence[bytes]) -> int:
    """The last sure place in `data[start:end]` at which it may be cut; `start`, itself a cut, if none is near."""
    if isinstance(data, WideText):
        return _cut_string_before(data.text, start, end, special_tokens)
    margin = max([_LONGEST_SYMBOL, *map(len, special_tokens)])
    window = _FIRST_WINDOW + 2 * margin
    while True:
        first = max(start, end - window)
        # At the window's ends a symbol or a special token may be cut off: places there aren't sure.
        low, high = 1 if first == start else margin, end - first - margin
        places = [p for p in cut_places(bytes(data[first:end]), special_tokens) if low <= p <= high]
        if places:
            return first + places[-1]
        if first == start or window > _LAST_WINDOW:
            return start
        window *= 8


def _cut_string_before(text: str, start: int, end: int, special_tokens: Sequence[bytes]) -> int:
    """`cut_before` of characters: what is around a place is at hand, so only special tokens can make it unsure."""
    first, reach = max(start, end - _STRING_WINDOW), max(map(len, special_tokens), default=0)
    while (place := last_cut(text, first, end)) > first:
        before = text[max(0, place - reach) : place].encode("utf-8", "surrogatepass")
        after = text[place : place + reach].encode("utf-8", "surrogatepass")
        if not Spans(before + after, special_tokens).cross(len(before)):
            return place
        end = place
    return start
