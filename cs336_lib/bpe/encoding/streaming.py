"""Cut a stream of text into blocks that may be encoded one by one, as if the whole had been encoded at once.

The chunks that a caller hands in may end anywhere: inside a word, a special token, a run of spaces, a UTF-8 character.
The blocks handed out end only where no pre-token and no special token can cross, whatever comes next:

    chunks    |The ca|t sat<|endof|text|>   On|ce upon |a time
    blocks    |The cat|                 sat<|endoftext|>|   Once upon|     and so on

Memory follows the block size, not the length of the stream; only a single pre-token without an end can make a block
longer.
"""

import codecs
from collections.abc import Iterable, Iterator

from cs336_lib.bpe.cutting.cuts import last_cut
from cs336_lib.bpe.plain.encoder import escaped_text
from cs336_lib.bpe.specials import SpecialTokens

BLOCK = 8192  # characters; the ids of a block are a list of about 2,000

# What the end of a stream so far may still change: up to three bytes of an unfinished character, read as surrogates.
UNFINISHED = 4


def settled_blocks(
    chunks: Iterable[str] | Iterable[bytes],
    specials: SpecialTokens,
    cut_at_classes: bool = True,
    block: int = BLOCK,
) -> Iterator[str]:
    """Regroup chunks into blocks whose ids, one after the other, are the ids of the whole.

    Args:
        chunks: strings, or bytes (not mixed), of any lengths.
        specials: the special tokens.
        cut_at_classes: whether GPT-2's pattern, and nothing else, cuts the text; where not, only special tokens are
            known to be safe places.
        block: characters to gather before looking for a place to cut.

    Yields:
        Strings that are never empty.

    >>> from cs336_lib.bpe.specials import SpecialTokens
    >>> list(settled_blocks(["The ca", "t sat<|x", "|>  Once"], SpecialTokens(["<|x|>"]), block=1))
    ['The', ' cat', ' sat<|x|>', '  Once']
    """
    held: list[str] = []
    length, wanted = 0, block
    for more in _gathered(_decoded(chunks), block):
        held.append(more)
        length += len(more)
        if length < wanted:
            continue
        text = escaped_text("".join(held))
        cut = settled_length(text, specials, cut_at_classes)
        if cut:
            yield text[:cut]
        held = [text[cut:]]
        length = len(held[0])
        # Twice what is left over: a pre-token that goes on for a megabyte is looked at a few times, not at every chunk.
        wanted = max(block, 2 * length)
    if length:
        yield escaped_text("".join(held))


def settled_length(text: str, specials: SpecialTokens, cut_at_classes: bool = True) -> int:
    """How many characters of `text` can be encoded now, whatever follows it; 0 if none.

    >>> from cs336_lib.bpe.specials import SpecialTokens
    >>> settled_length("The cat  sat on", SpecialTokens())
    7
    """
    # A special token that starts before the horizon is seen in full, and so is a longer one that starts with it.
    horizon = len(text) - max(specials.longest - 1, UNFINISHED)
    start = 0
    for begin, end in specials.spans(text):
        if begin >= horizon:
            break
        start = end
    return max(start, last_cut(text, start, horizon)) if cut_at_classes else start


def _gathered(chunks: Iterable[str], size: int) -> Iterator[str]:
    """Regroup strings of any length into ones of about `size`: short ones joined, long ones sliced."""
    held: list[str] = []
    length = 0
    for chunk in chunks:
        for i in range(0, len(chunk), size):
            held.append(chunk[i : i + size])
            length += len(held[-1])
            # A list of single characters takes more memory than their text: join by number, too.
            if length >= size or len(held) >= 1024:
                yield escaped_text("".join(held))
                held, length = [], 0
    if held:
        yield escaped_text("".join(held))


def _decoded(chunks: Iterable[str] | Iterable[bytes]) -> Iterator[str]:
    """Strings as they are; bytes decoded across chunk ends, each byte that is not UTF-8 as one U+DC80..U+DCFF."""
    if isinstance(chunks, bytes | bytearray | memoryview):
        raise TypeError(
            "encode_iterable takes an iterable of strings or of bytes objects, got one bytes object; write [data]"
        )
    kind: type | None = None
    decoder = codecs.getincrementaldecoder("utf-8")("surrogateescape")
    for chunk in chunks:
        if kind is None:
            if not isinstance(chunk, str | bytes):
                raise TypeError(f"a chunk must be a string or bytes, got {type(chunk).__name__}")
            kind = str if isinstance(chunk, str) else bytes
        if not isinstance(chunk, kind):
            raise TypeError(f"a chunk must be {kind.__name__} like those before it, got {type(chunk).__name__}")
        yield chunk if isinstance(chunk, str) else decoder.decode(chunk)
    if kind is bytes:
        yield decoder.decode(b"", True)
