"""What a tokenizer knows, checked once so that nothing behind it needs to check again.

A vocabulary maps ids 0 .. n-1 to distinct byte strings and holds all 256 single bytes, so that every input can be
spelled. A merge names two tokens whose concatenation is a token too. The order of the merges is their rank: the first
learned is the first applied.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from cs336_lib.bpe.specials import SpecialTokens, named_specials

_LARGEST = 1 << 24
_ID = (int, np.integer)


def with_ids(vocab: Mapping[int, bytes], special_tokens: Mapping[str, int]) -> dict[int, bytes]:
    """Return a vocabulary that has each special token at the id that a mapping names.

    Raises:
        ValueError: an id is that of another token, or the token has another id.

    >>> with_ids({0: b"a"}, {"<s>": 1})
    {0: b'a', 1: b'<s>'}
    """
    together, ids = dict(vocab), {token: i for i, token in vocab.items()}
    for special, i in special_tokens.items():
        encoded = special.encode()
        if together.setdefault(i, encoded) != encoded:
            raise ValueError(f"the special token {special!r} can't have the id {i}: it is that of {together[i]!r}")
        if ids.get(encoded, i) != i:
            raise ValueError(
                f"the special token {special!r} is to have the id {i}, and the vocabulary has it as {ids[encoded]}"
            )
    return together


class Vocabulary:
    """Tokens, merges and special tokens, found to be consistent. Treat it as frozen.

    Attributes:
        tokens: id -> bytes, as a list, None at a gap; special tokens that were missing stand at its end.
        ids: bytes -> id.
        merges: pairs of tokens, the first learned first.
        specials: the special tokens.
        special_ids: special token -> id.
    """

    def __init__(
        self,
        vocab: Mapping[int, bytes],
        merges: Iterable[tuple[bytes, bytes]],
        special_tokens: Iterable[str] | Mapping[str, int] | None = None,
        *,
        gaps: bool = False,
    ) -> None:
        vocab = _plain_tokens(vocab)
        named = named_specials(special_tokens)
        if isinstance(named, dict):
            vocab = with_ids(vocab, named)
        self.specials = SpecialTokens(named)
        self.tokens: list[bytes | None]
        self.tokens, self.ids = _checked_tokens(vocab, gaps)
        self.merges = _checked_merges(merges, self.ids)
        self.special_ids: dict[str, int] = {}
        for special in self.specials.strings:
            encoded = special.encode()
            if encoded not in self.ids:
                self.ids[encoded] = len(self.tokens)
                self.tokens.append(encoded)
            self.special_ids[special] = self.ids[encoded]

    def ranks(self) -> dict[tuple[bytes, bytes], int]:
        """Pair of tokens -> its place in the list of merges."""
        return dict(zip(self.merges, range(len(self.merges)), strict=True))

    def join(self, ids: Iterable[int]) -> bytes:
        """The bytes that ids stand for.

        Raises:
            TypeError: an id is not an integer.
            ValueError: an id is not in the vocabulary.

        >>> Vocabulary({i: bytes([i]) for i in range(256)}, []).join([104, 105])
        b'hi'
        """
        if not isinstance(ids, list):
            ids = _as_list(ids)
        try:
            if not ids or min(ids) >= 0:  # a list would take -1 for its last token
                return b"".join(map(self.tokens.__getitem__, ids))  # type: ignore[arg-type] # None is a TypeError
        except (IndexError, TypeError):
            pass
        raise self._id_error(ids)

    def _id_error(self, ids: list[Any]) -> Exception:
        for place, i in enumerate(ids):
            if not hasattr(i, "__index__"):
                return TypeError(f"ids[{place}] must be an integer, got {i!r} of type {type(i).__name__}")
            if not 0 <= i < len(self.tokens):
                return ValueError(
                    f"ids[{place}] = {i} is not in the vocabulary, whose ids are 0 to {len(self.tokens) - 1}"
                )
            if self.tokens[i] is None:
                return ValueError(f"ids[{place}] = {i} is a gap: the vocabulary has no token of this id")
        raise AssertionError("every id is in the vocabulary")

    def packed(self) -> tuple[bytes, bytes, bytes]:
        """Tokens and merges as three byte strings, for pickling: 0.9 MB for GPT-2 where the objects would take 10."""
        lengths = np.array([len(token or b"") for token in self.tokens], np.uint32)
        pairs = np.array([(self.ids[left], self.ids[right]) for left, right in self.merges], np.uint32)
        return lengths.tobytes(), b"".join(token or b"" for token in self.tokens), pairs.tobytes()

    @staticmethod
    def unpacked(packed: tuple[bytes, bytes, bytes]) -> tuple[dict[int, bytes], list[tuple[bytes, bytes]]]:
        """Vocabulary and merges from what `packed` returned."""
        lengths, joined, pairs = packed
        ends = np.cumsum(np.frombuffer(lengths, np.uint32), dtype=np.int64).tolist()
        tokens = [joined[start:end] for start, end in zip([0, *ends], ends, strict=False)]
        merges = [(tokens[a], tokens[b]) for a, b in np.frombuffer(pairs, np.uint32).reshape(-1, 2).tolist()]
        return {i: token for i, token in enumerate(tokens) if token}, merges

    def fingerprint(self, pattern: str, rules: Mapping[str, bool]) -> str:
        """SHA-256, in hexadecimal, of all that decides which ids a text gets and what the ids mean.

        The order in which the special tokens were named does not matter. Two tokenizers with the same fingerprint give
        the same ids for every text.
        """
        digest = hashlib.sha256(b"cs336_lib.bpe 1\n")
        more = [sorted(rules)] if rules else []  # nothing where there are none, as before there were any
        digest.update(json.dumps([pattern, sorted(self.special_ids.items()), *more]).encode())
        tokens = [token or b"" for token in self.tokens]
        for count, parts in ((len(tokens), tokens), (len(self.merges), [x for m in self.merges for x in m])):
            digest.update(b"\n%d\n" % count)
            # lengths first: the bytes alone would not say where one token ends and the next begins
            digest.update(b",".join(b"%d" % len(part) for part in parts) + b"\n" + b"".join(parts))
        return digest.hexdigest()


def _as_list(ids: Any) -> list[Any]:
    """Ids as a list of Python integers, from numpy arrays and tensors too."""
    if isinstance(ids, str | bytes | bytearray):
        raise TypeError(
            f"decode takes token ids, got the {type(ids).__name__} {ids[:20]!r}; to get ids from text use encode"
        )
    listed = ids.tolist() if hasattr(ids, "tolist") else ids
    if not isinstance(listed, Iterable):
        raise TypeError(f"decode takes several token ids, got the single value {listed!r}; write [{listed!r}]")
    return list(listed)


def _plain_tokens(vocab: Mapping[int, bytes]) -> dict[int, bytes]:
    """Return ids and tokens as Python's own integers and bytes, from numpy's and from other subclasses too."""
    if not isinstance(vocab, Mapping):
        raise TypeError(f"vocab must map ids to bytes (dict[int, bytes]), got {type(vocab).__name__}")
    plain: dict[int, bytes] = {}
    for key, token in vocab.items():
        if isinstance(key, bool) or not isinstance(key, _ID):
            raise TypeError(f"vocab must map ids to bytes, but has the key {key!r} of type {type(key).__name__}")
        if not isinstance(token, bytes):
            raise TypeError(f"vocab[{key}] must be bytes, got {token!r} of type {type(token).__name__}")
        if not token:
            raise ValueError(f"vocab[{key}] is empty; a token needs at least one byte")
        plain[int(key)] = bytes(token)
    return plain


def _checked_tokens(vocab: dict[int, bytes], gaps: bool) -> tuple[list[bytes | None], dict[bytes, int]]:
    tokens: list[bytes | None] = []
    size = max(vocab, default=-1) + 1 if gaps else len(vocab)
    if size > _LARGEST:
        raise ValueError(f"vocab has the id {size - 1}, which is too large: ids must be below {_LARGEST}")
    for i in range(size):
        token = vocab.get(i)
        if token is None and not gaps:
            raise _hole_error(vocab, i)
        tokens.append(token)
    if len(tokens) - tokens.count(None) < len(vocab):  # a negative one
        raise _hole_error(vocab, 0)
    ids = {token: i for i, token in enumerate(tokens) if token is not None}
    if len(ids) < len(vocab):
        again, token = next((i, token) for i, token in enumerate(tokens) if token is not None and ids[token] != i)
        raise ValueError(
            f"vocab holds {token!r} twice, as ids {again} and {ids[token]}; each token needs bytes of its own"
        )
    missing = [byte for byte in range(256) if bytes([byte]) not in ids]
    if missing and not gaps:
        shown = ", ".join(f"0x{byte:02x}" for byte in missing[:8]) + (", ..." if len(missing) > 8 else "")
        raise ValueError(
            f"vocab lacks {len(missing)} of the 256 single bytes ({shown}); a byte-level tokenizer needs all of "
            "them, or some texts can't be encoded; if it is so meant, give Tokenizer(...) rules=TextRules(gaps=True)"
        )
    return tokens, ids


def _hole_error(vocab: Mapping[int, bytes], i: int) -> ValueError:
    """Say what is wrong with the ids of a vocabulary, of which `i` may be missing."""
    if negative := [key for key in vocab if key < 0]:
        return ValueError(f"vocab has the id {negative[0]}; ids are 0 or more")
    extra = [key for key in vocab if not 0 <= key < len(vocab)]
    return ValueError(
        f"vocab has a hole: {len(vocab)} tokens should have the ids 0 to {len(vocab) - 1}, but id {i} is missing and "
        f"{min(extra)} is there instead; number the tokens without gaps, or give Tokenizer(...) "
        "rules=TextRules(gaps=True)"
    )


def _checked_merges(merges: Iterable[tuple[bytes, bytes]], ids: Mapping[bytes, int]) -> list[tuple[bytes, bytes]]:
    checked: list[tuple[bytes, bytes]] = []
    if not isinstance(merges, Iterable):
        raise TypeError(f"merges must be pairs of bytes, got {type(merges).__name__}; give [] if there are none")
    for rank, pair in enumerate(merges):
        try:
            left, right = pair
            if type(left) is not bytes or type(right) is not bytes:
                left, right = _plain_part(left), _plain_part(right)
            if not (left in ids and right in ids and left + right in ids):
                raise KeyError
        except (TypeError, ValueError, KeyError):
            raise _merge_error(rank, pair, ids) from None
        checked.append((left, right))
    if len(set(checked)) < len(checked):
        first: dict[tuple[bytes, bytes], int] = {}
        for rank, pair in enumerate(checked):
            if first.setdefault(pair, rank) != rank:
                raise ValueError(
                    f"merges[{rank}] {pair!r} repeats merges[{first[pair]}], and readers differ on which of the two "
                    "counts; remove the first to get the ids of tokenizers"
                )
    made = {left + right for left, right in checked}
    for rank, pair in enumerate(checked):
        for part in pair:
            if len(part) > 1 and part not in made:
                raise _unreachable(rank, pair, part)
    return checked


def _plain_part(part: object) -> bytes:
    """Return a part of a merge as Python's own bytes, from a subclass of it."""
    if not isinstance(part, bytes):  # a memoryview would be found in the vocabulary as well
        raise TypeError
    return bytes(part)


def _unreachable(rank: int, pair: tuple[bytes, bytes], part: bytes) -> ValueError:
    hint = ""
    if part.endswith(b"</w>"):
        hint = "; tokens that end with </w> are of CLIP or GPT-1, whose tokenizers are not of the byte-level kind"
    return ValueError(
        f"merges[{rank}] = {pair!r} can never apply: no merge makes its part {part!r}{hint or '; is a merge missing?'}"
    )


def _merge_error(rank: int, pair: Sequence[bytes], ids: Mapping[bytes, int]) -> Exception:
    """Say what is wrong with the merge number `rank`."""
    if not isinstance(pair, Sequence) or len(pair) != 2 or not all(isinstance(part, bytes) for part in pair):
        return TypeError(f"merges[{rank}] must be a pair of bytes, got {pair!r}")
    for part, role in ((pair[0], "left part"), (pair[1], "right part"), (pair[0] + pair[1], "result")):
        if part not in ids:
            return ValueError(
                f"merges[{rank}] = {pair!r}: its {role} {part!r} is not in the vocabulary; vocab and merges must "
                "come from the same training run"
            )
    raise AssertionError(f"merges[{rank}] = {pair!r} is a proper merge")
