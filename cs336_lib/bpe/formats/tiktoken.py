"""To and from tiktoken: an `Encoding` in memory, a rank file on disk.

tiktoken keeps no list of merges. It has one number per token, its rank, which is also its id, and merges the two
neighbors whose concatenation has the lowest rank. For merges in the order in which a trainer learned them this comes
to the same; the functions here prove it token by token, by cutting each token into the two parts from which tiktoken's
rule makes it last.

One difference remains and can't be removed here: tiktoken is compiled with the Unicode tables of its day. The two
disagree on some code points that Unicode assigned later (17,144 letters and 336 numbers between tiktoken 0.14 and regex
2026), and texts with such characters may get other ids. The assignment defines the pattern by `regex`, and so does this
library.
"""

import base64
import binascii
import os
import warnings
from collections.abc import Iterable, Mapping
from itertools import pairwise
from typing import TYPE_CHECKING

from cs336_lib.bpe.cutting.pattern import PAT
from cs336_lib.bpe.formats.dialects import check_takes_something
from cs336_lib.bpe.rules import TextRules
from cs336_lib.bpe.specials import beginning_alike, in_order
from cs336_lib.bpe.vocabulary import Vocabulary, with_ids
from cs336_lib.jsonfile import read_bytes

if TYPE_CHECKING:
    import tiktoken

HOLE = 1000
"""Ids that may be left out between ranks and special tokens: o200k_base has its last one 20 behind them."""


def to_tiktoken(vocabulary: Vocabulary, pattern: str, rules: TextRules, name: str) -> "tiktoken.Encoding":
    """Build a `tiktoken.Encoding` with the same ids.

    Tokens that no merge makes are special tokens there: tiktoken refuses a text that holds one as disallowed special
    text, unless it is told that it may (`disallowed_special=()`), and must not be allowed to find them
    (`allowed_special="all"`).

    Raises:
        ImportError: tiktoken is not installed.
        ValueError: tiktoken's rule can't express these merges, or it finds another special token where two begin
            alike; the message names the first it can't, or the two.
    """
    try:
        import tiktoken
    except ImportError:
        raise ImportError("to_tiktoken needs the tiktoken package; install it with: pip install tiktoken") from None
    if rules.changes_text:
        raise ValueError("tiktoken can't put a space before a text or normalize it; use tokenizers, with to_hf_json")
    merged = [left + right for left, right in vocabulary.merges]
    if missing := [byte for byte in range(256) if bytes([byte]) not in vocabulary.ids]:
        raise ValueError(
            f"tiktoken needs all 256 single bytes; this vocabulary lacks {len(missing)} (0x{missing[0]:02x})"
        )
    made = {*merged, *(bytes([byte]) for byte in range(256))}
    ranks = {token: i for i, token in enumerate(vocabulary.tokens) if token is not None and token in made}
    special_ids = dict(vocabulary.special_ids)
    for i, token in enumerate(vocabulary.tokens):
        if token is not None and token not in made and i not in special_ids.values():
            if rules.whole_words:
                raise ValueError(
                    f"tiktoken can't hold token {i}, {token!r}: no merge makes it, and a pre-token may be it "
                    "(ignore_merges)"
                )
            # Such a token never comes out of encoding, but it must decode: tiktoken keeps these among its special
            # tokens.
            special_ids[_unmade_token(token, i)] = i
    _check_expressible(vocabulary, ranks)
    encoding = tiktoken.Encoding(
        name=name, pat_str=_covering(pattern), mergeable_ranks=ranks, special_tokens=special_ids
    )
    _check_finds(encoding, vocabulary.special_ids)
    return encoding


def _check_finds(encoding: "tiktoken.Encoding", special_ids: Mapping[str, int]) -> None:
    """Raise ValueError if tiktoken finds another of two special tokens that begin alike: it tries either one first.

    Tokens that no merge makes are among its special tokens, and hide others although they are not allowed.
    """
    for shorter, longer in beginning_alike(encoding.special_tokens_set):
        wanted = longer if longer in special_ids else shorter
        if wanted not in special_ids:
            continue
        ids = encoding.encode(longer, allowed_special=set(special_ids), disallowed_special=())
        if ids[0] != special_ids[wanted]:
            raise ValueError(
                f"tiktoken does not find the special token {wanted!r} at the start of {longer!r}, because of "
                f"{longer if wanted == shorter else shorter!r}: of two that begin alike it tries either one first, by "
                "a hash; leave one of them out"
            )


def _covering(pattern: str) -> str:
    """A pattern that also matches what lies between two matches: tiktoken would leave that out.

    Raises:
        ValueError: tiktoken need not read the pattern as `regex` does, or it can match nothing; the message names it.
    """
    if pattern == PAT:
        return pattern
    check_takes_something(pattern, "tiktoken")
    return rf"(?:{pattern})|(?:(?!{pattern})[\s\S])+"


def _unmade_token(token: bytes, i: int) -> str:
    try:
        return token.decode()
    except UnicodeDecodeError:
        raise ValueError(
            f"tiktoken can't hold token {i}, {token!r}: no merge makes it, and special tokens must be UTF-8 there"
        ) from None


def _check_expressible(vocabulary: Vocabulary, ranks: Mapping[bytes, int]) -> None:
    last = -1
    for rank, (left, right) in enumerate(vocabulary.merges):
        i = ranks[left + right]
        if i == last:
            raise ValueError(
                f"merges[{rank}] = {(left, right)!r} is a second way to make id {i}, as in files that were converted "
                "from tiktoken, and tiktoken has one; read the ranks themselves with from_tiktoken_ranks"
            )
        if i <= last:
            raise ValueError(
                f"tiktoken merges in the order of ids, but merges[{rank}] = {(left, right)!r} makes id {i} after id "
                f"{last}; number the tokens in the order of their merges"
            )
        last = i
        parts = split_by_ranks(left + right, ranks)
        if parts != [left, right]:
            raise ValueError(
                f"tiktoken can't express merges[{rank}] = {(left, right)!r}: from ranks alone it makes "
                f"{left + right!r} of {parts!r}"
            )


def split_by_ranks(token: bytes, ranks: Mapping[bytes, int]) -> list[bytes]:
    """The parts of which tiktoken's rule makes `token` in its last step: merge by rank, but only below the token's own.

    >>> split_by_ranks(b"the", {b"t": 0, b"h": 1, b"e": 2, b"th": 256, b"the": 257})
    [b'th', b'e']
    """
    limit = ranks[token]
    parts = [token[i : i + 1] for i in range(len(token))]
    while len(parts) > 2:
        best, at = min((ranks.get(a + b, limit), i) for i, (a, b) in enumerate(pairwise(parts)))
        if best >= limit:
            break
        parts[at : at + 2] = [parts[at] + parts[at + 1]]
    return parts


def merges_from_ranks(ranks: Mapping[bytes, int]) -> list[tuple[bytes, bytes]]:
    """Recover the list of merges from token -> rank.

    Raises:
        ValueError: a token isn't made of two others, so these ranks are no byte-pair encoding; the message names it.

    >>> ranks = {bytes([i]): i for i in range(256)} | {b"th": 256, b"the": 257}
    >>> merges_from_ranks(ranks)
    [(b't', b'h'), (b'th', b'e')]
    """
    merges = []
    for token, rank in sorted(ranks.items(), key=lambda item: item[1]):
        if len(token) < 2:
            continue
        parts = split_by_ranks(token, ranks)
        if len(parts) != 2:
            raise ValueError(
                f"rank {rank}, {token!r}, is not made of two tokens of lower rank (got {parts!r}); this file is no "
                "byte-pair encoding, or it is incomplete"
            )
        merges.append((parts[0], parts[1]))
    return merges


def read_ranks(path: str | os.PathLike[str]) -> dict[bytes, int]:
    """Read a `.tiktoken` file: on each line a token in base64, a space, its rank.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is empty, a line is not of that form, or a token or a rank comes twice; the message names the
            line.
    """
    ranks: dict[bytes, int] = {}
    seen: dict[int, bytes] = {}
    content = read_bytes(path)
    if not content.strip():
        raise ValueError(f"{path} is empty, and should hold ranks: it was cut off, or never written; get it again")
    for number, line in enumerate(content.split(b"\n"), 1):
        if not line.strip():
            continue
        try:
            spelled, digits = line.split()
            token, rank = base64.b64decode(spelled, validate=True), int(digits)
        except (ValueError, binascii.Error):
            raise ValueError(
                f"{path}, line {number}: expected a token in base64 and its rank, got {line!r:.100}"
            ) from None
        if token in ranks or rank in seen:
            earlier = f"token {token!r}" if token in ranks else f"rank {rank}"
            raise ValueError(f"{path}, line {number}: {earlier} comes a second time")
        ranks[token] = rank
        seen[rank] = token
    return ranks


def vocab_with_specials(
    ranks: Mapping[bytes, int], special_tokens: Mapping[str, int] | Iterable[str] | None
) -> tuple[dict[int, bytes], list[str]]:
    """Join ranks and special tokens into one vocabulary id -> bytes.

    Args:
        ranks: token -> rank, which is its id.
        special_tokens: a mapping to ids, as tiktoken's, or strings, which take the next free ids.

    Warns of special tokens that begin alike: tiktoken may find the shorter one.

    Raises:
        ValueError: an id is taken already.
    """
    vocab = {rank: token for token, rank in ranks.items()}
    if isinstance(special_tokens, Mapping):
        vocab = with_ids(vocab, special_tokens)
    specials = in_order(special_tokens or ())
    if alike := next(beginning_alike(specials), None):
        warnings.warn(
            f"of the special tokens {alike[0]!r} and {alike[1]!r}, which begin alike, the longer one is found here "
            "where it fits; tiktoken tries either one first, by a hash",
            stacklevel=3,
        )
    return vocab, specials


def check_whole_file(
    ranks: Mapping[bytes, int], special_tokens: Mapping[str, int] | Iterable[str] | None, expected: int | None
) -> None:
    """Raise ValueError if ranks seem to be missing: a file that was cut off between two lines looks like a whole one.

    Where ids are left out among the ranks, special tokens need ids of their own: they may be those.

    Args:
        ranks: token -> rank.
        special_tokens: a mapping says where ids go on behind the ranks.
        expected: so many ranks there must be; None leaves it to what can be seen.
    """
    if expected is not None:
        if len(ranks) != expected:
            raise ValueError(f"it has {len(ranks):,} ranks, and {expected:,} are expected: get the file again")
        return
    last, strings = max(ranks.values()), not isinstance(special_tokens, Mapping) and in_order(special_tokens or ())
    if strings and len(ranks) <= last:
        first = min(set(range(last)).difference(ranks.values()))
        raise ValueError(
            f"its ranks leave out {last + 1 - len(ranks):,} ids, such as {first:,}; name the special tokens with their "
            f"ids, {{{strings[0]!r}: ID}}"
        )
    behind = [i for i in special_tokens.values() if i > last] if isinstance(special_tokens, Mapping) else []
    if behind and min(behind) - last - 1 > HOLE:
        raise ValueError(
            f"its ranks end at {last:,}, and the first special token behind them has the id {min(behind):,}: was the "
            f"file cut off? If it is whole, say so with expected_ranks={len(ranks)}"
        )
