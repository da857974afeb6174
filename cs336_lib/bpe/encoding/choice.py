"""Which encoder answers: the plain one at once, or the compiled one, once that is worth getting ready.

    one text of      encoder
    < 40 characters  plain: a call of the compiled one costs some 5 us, more than it would save
    < 100,000        compiled if it is in memory; otherwise plain, until more text has come than loading it would cost
    more             compiled if it waits in the cache folder; otherwise plain, block by block, and once so much has
                     come that compiling is worth it, another process does that: compiled from the block on at
                     which it is ready

Both give the same ids, so the choice is only about time, and no text waits for a compiler, unless the other process has
nowhere to leave what it made: then this one compiles for itself. A pattern other than GPT-2's
has no compiled scanner and stays plain; so do the rules of other tokenizers, and vocabularies of more than two million
tokens.
"""

import gc
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import pairwise

import numpy as np

from cs336_lib.bpe.cutting.pattern import PAT
from cs336_lib.bpe.encoding.compiled import CompiledEncoder
from cs336_lib.bpe.encoding.jobs import jobs
from cs336_lib.bpe.encoding.layout import ID_BITS, NO_RANK
from cs336_lib.bpe.encoding.streaming import settled_blocks
from cs336_lib.bpe.encoding.string_bytes import readable, text_bytes
from cs336_lib.bpe.encoding.wide_text import SurrogateError
from cs336_lib.bpe.encoding.workspace import KERNELS
from cs336_lib.bpe.plain.encoder import PlainEncoder
from cs336_lib.bpe.rules import TextRules
from cs336_lib.bpe.vocabulary import Vocabulary
from cs336_lib.naming import check_whole, whole_number

ALWAYS_PLAIN = 40
LONG = 100_000
# Text of middling length after which the plain encoder (5 to 10 MB/s) has cost as much as loading the kernels from the
# cache folder (0.1 to 0.2 s), or as another process takes to compile them (some 10 s).
WORTH_LOADING = 1_000_000
WORTH_COMPILING = 10_000_000
# What is encoded plainly between two looks for the kernels: about a twentieth of a second.
BLOCK = 400_000

# A stream must stay below 1 MB of memory, and loading the kernels takes more: so it starts in plain Python, with a
# memory of this many words, and turns to the compiled encoder only after a length at which loading no longer matters.
STREAM_WORDS = 2_500
STREAM_PLAIN = 8_000_000


class Encoding:
    """Encode with whichever encoder is the faster; see the module's table."""

    def __init__(self, vocabulary: Vocabulary, pattern: str, rules: TextRules | None = None) -> None:
        rules = rules or TextRules()
        self._vocabulary = vocabulary
        self._plain = PlainEncoder(vocabulary, pattern, rules)
        self.cuts_at_words = pattern == PAT and not rules.changes_text
        fits = len(vocabulary.tokens) < 1 << ID_BITS and len(vocabulary.merges) < NO_RANK
        whole = not rules.gaps or all(bytes([byte]) in vocabulary.ids for byte in range(256))
        self._may_compile = self.cuts_at_words and fits and whole and not rules.whole_words
        self._compiled: CompiledEncoder | None = None
        self._lock = threading.Lock()
        self._plain_so_far = 0
        self._look_at = WORTH_LOADING

    def to_list(self, text: str) -> list[int]:
        """The ids of a string as a list."""
        if not isinstance(text, str):
            raise _not_text(text, "str")
        compiled = self._compiled_for(len(text))
        if compiled is not None:
            try:
                return compiled.encode_to_list(readable(text))
            except SurrogateError:
                return compiled.encode_to_list(text_bytes(text))
        if len(text) < LONG or not self._may_compile:
            return self._plain.encode(text)
        return [token for ids in self._turning(text_bytes(text), BLOCK, 1) for token in ids.tolist()]

    def to_array(self, text: "str | bytes | memoryview", workers: int) -> np.ndarray:
        """The ids of a string or of bytes as int32."""
        workers = _checked_workers(workers)
        data = text if isinstance(text, str) else _as_bytes(text)
        compiled = self._compiled_for(len(data))
        if compiled is None and (len(data) < LONG or not self._may_compile):
            return self._encode_plainly(data)
        if compiled is not None:
            try:
                return compiled.encode(readable(data) if isinstance(data, str) else data, workers)
            except SurrogateError:
                pass
        data = text_bytes(data) if isinstance(data, str) else data
        if compiled is not None:
            return compiled.encode(data, workers)
        return np.concatenate(list(self._turning(data, BLOCK, workers)))

    def to_lists(self, texts: Iterable[str], workers: int) -> list[list[int]]:
        """The ids of each of several strings."""
        workers = _checked_workers(workers)
        if isinstance(texts, str):
            raise TypeError(f"encode_batch takes a list of strings, got the single string {texts[:20]!r}; use encode")
        if not isinstance(texts, Iterable):
            raise TypeError(f"encode_batch takes a list of strings, got {type(texts).__name__}")
        texts = list(texts)  # an iterator is walked once
        if not set(map(type, texts)) <= {str}:
            for text in texts:
                if not isinstance(text, str):
                    raise _not_text(text, "str")
            texts = [str.__str__(text) for text in texts]  # of a subclass, what it holds and not what it says
        compiled = self._compiled_for(sum(map(len, texts)))
        done: list[list[int]] = []
        since = 0
        while compiled is None and len(done) < len(texts):
            done.append(self._plain.encode(texts[len(done)]))
            since += len(texts[len(done) - 1])
            if since >= BLOCK:
                since, compiled = 0, self._compiled_for(LONG)
        if compiled is None:
            return done
        return done + self._compiled_lists(compiled, texts[len(done) :], workers)

    def _compiled_lists(self, compiled: CompiledEncoder, texts: list[str], workers: int) -> list[list[int]]:
        found: list[list[int]] = []
        with _no_collection():
            for ids, ends in compiled.encode_texts(texts, workers):
                flat = compiled.listed(ids)
                found += [flat[start:end] for start, end in pairwise([0, *ends.tolist()])]
        return found

    def blocks(self, data: "bytes | memoryview", block_bytes: int, workers: int) -> Iterator[np.ndarray]:
        """The ids of a buffer, one array of int32 for each block."""
        block_bytes = check_whole("block_bytes", block_bytes, least=1)
        workers = _checked_workers(workers)
        if isinstance(data, str):
            raise TypeError(
                "encode_blocks takes bytes, got str; for a string use encode_to_array, or give its .encode()"
            )
        data = _as_bytes(data, "bytes")
        compiled = self._compiled_for(len(data))
        if compiled is not None:
            yield from compiled.blocks(data, block_bytes, workers)
            return
        if self._may_compile:
            yield from self._turning(data, block_bytes, workers)
            return
        chunks = (bytes(data[i : i + block_bytes]) for i in range(0, len(data), block_bytes))
        for text in settled_blocks(chunks, self._vocabulary.specials, self.cuts_at_words, block_bytes):
            yield np.array(self._plain.encode(text), np.int32)

    def stream(self, chunks: "Iterable[str] | Iterable[bytes]") -> Iterator[list[int]]:
        """The ids of a stream, a list for each block."""
        if not isinstance(chunks, Iterable):
            raise TypeError(f"encode_iterable takes strings or bytes objects, got {type(chunks).__name__}")
        ids_of = self._plain.new_memory(STREAM_WORDS)
        seen = 0
        for block in settled_blocks(chunks, self._vocabulary.specials, self.cuts_at_words):
            seen += len(block)
            compiled = self._compiled_for(LONG) if seen > STREAM_PLAIN else None
            if compiled is None:
                yield self._plain.encode(block, ids_of)
            else:
                yield compiled.encode_to_list(text_bytes(block))

    def _turning(self, data: "bytes | memoryview", size: int, workers: int) -> Iterator[np.ndarray]:
        """The ids of a long text, a block at a time: plain until the kernels are ready."""
        view = memoryview(data)
        for start, end in jobs(data, 0, len(data), size, self._vocabulary.specials.encoded):
            compiled = self._compiled_for(min(len(data), LONG))
            if compiled is not None:
                yield from compiled.blocks(view[start:], size, workers)
                return
            yield self._encode_plainly(view[start:end])

    def _encode_plainly(self, data: "str | bytes | memoryview") -> np.ndarray:
        text = data if isinstance(data, str) else str(data, "utf-8", "surrogateescape")
        return np.array(self._plain.encode(text), np.int32)

    def _compiled_for(self, size: int) -> CompiledEncoder | None:
        """The compiled encoder, if a text of this size is to be encoded by it and it is ready."""
        if size < ALWAYS_PLAIN or not self._may_compile:
            return None
        if self._compiled is not None:
            return self._compiled
        self._plain_so_far += size
        if size < LONG and self._plain_so_far < self._look_at:
            return None
        if not KERNELS.is_ready():
            # It asks the disk: not before each text.
            self._look_at = self._plain_so_far + WORTH_LOADING
            if self._plain_so_far < WORTH_COMPILING or KERNELS.prepare():
                return None
        with self._lock:
            if self._compiled is None:
                self._compiled = CompiledEncoder(self._vocabulary)
            return self._compiled


@contextmanager
def _no_collection() -> Iterator[None]:
    """Keep Python's collector of cycles from walking again and again over lists that are being made.

    They hold integers, so there is nothing to find. The switch is that of the whole process, so it is put back as it
    was.
    """
    was_on = gc.isenabled()
    try:  # from here on: an interrupt may come as soon as it is off
        gc.disable()
        yield
    finally:
        if was_on:
            gc.enable()


def _checked_workers(workers: int) -> int:
    try:
        workers = whole_number("workers", workers)
    except TypeError:
        raise TypeError(f"workers must be an integer, got {workers!r}") from None
    if workers < 1:
        raise ValueError(f"workers must be at least 1, got {workers}")
    return workers


def _as_bytes(data: "bytes | memoryview", wanted: str = "str or bytes") -> "bytes | memoryview":
    if isinstance(data, bytes):
        return data
    try:
        view = memoryview(data)
    except TypeError:
        raise _not_text(data, wanted) from None
    if view.itemsize != 1:
        raise TypeError(
            f"the bytes to encode have items of {view.itemsize} bytes (format {view.format!r}): is this an array of "
            "ids? encode_to_array takes text: a string, bytes, or an array of uint8"
        )
    if not view.c_contiguous:
        raise ValueError("the bytes to encode must be contiguous; got a strided memoryview")
    return view.cast("B")


def _not_text(text: object, wanted: str) -> TypeError:
    hint = "; for bytes use encode_to_array" if isinstance(text, bytes | bytearray | memoryview) else ""
    return TypeError(f"the text to encode must be {wanted}, got {type(text).__name__}{hint}")
