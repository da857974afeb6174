"""The tokenizer: text to ids and back, with special tokens, streams, and the formats of others.

It holds a checked `Vocabulary` and two encoders that give the same ids. `plain.encoder` answers short texts at once. A
long text, or many of middling length, are worth the time it takes to get the compiled `encoder` ready; `encoding`
chooses. Chapter 3 (notebooks/03_tokenizer) walks through it.
"""

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cs336_lib.bpe.cutting.pattern import PAT
from cs336_lib.bpe.encoding.choice import Encoding
from cs336_lib.bpe.formats import folders, gpt2, hf_reading, huggingface
from cs336_lib.bpe.formats import tiktoken as tiktoken_format
from cs336_lib.bpe.rules import TextRules
from cs336_lib.bpe.specials import named_specials
from cs336_lib.bpe.vocabulary import Vocabulary
from cs336_lib.naming import check_whole

if TYPE_CHECKING:
    import tiktoken


class Tokenizer:
    """A byte-level BPE tokenizer.

    Args:
        vocab: id -> bytes: the ids 0 .. n-1, distinct byte strings, all 256 single bytes among them.
        merges: pairs of tokens, the first learned first; each must concatenate to a token.
        special_tokens: strings that are one id wherever they stand. Those that `vocab` lacks are appended to it, in
            order; those that it has keep their ids. A mapping gives each its id.
        pattern: the pre-token pattern, for the `regex` package. Other patterns than GPT-2's are encoded in plain Python
            only.
        rules: what tokenizers of others do besides, such as a space before each text or ids that are missing.

    Raises:
        TypeError: an argument, or something in it, is of the wrong type.
        ValueError: a hole or a repeat in `vocab`, a missing single byte, a merge of unknown tokens, an empty special
            token.

    Any number of threads may use one tokenizer. It pickles as its vocabulary; compiled code and caches stay behind.

    Bytes that are not UTF-8 are kept: to the pattern each of them is a symbol, and decoding gives them back. A string
    may hold such bytes as the surrogates U+DC80..U+DCFF (`errors="surrogateescape"`).

    >>> vocab = {i: bytes([i]) for i in range(256)} | {256: b"th", 257: b"the"}
    >>> tokenizer = Tokenizer(vocab, [(b"t", b"h"), (b"th", b"e")], ["<|endoftext|>"])
    >>> tokenizer.encode("the<|endoftext|>that")
    [257, 258, 256, 97, 116]
    >>> tokenizer.decode([257, 258, 256, 97, 116])
    'the<|endoftext|>that'
    >>> tokenizer
    Tokenizer(vocab_size=259, merges=2, special_tokens=['<|endoftext|>'])
    """

    def __init__(
        self,
        vocab: Mapping[int, bytes],
        merges: Iterable[tuple[bytes, bytes]],
        special_tokens: Iterable[str] | Mapping[str, int] | None = None,
        *,
        pattern: str = PAT,
        rules: TextRules | None = None,
    ) -> None:
        if rules is not None and not isinstance(rules, TextRules):
            raise TypeError(f"rules must be TextRules(...), got {rules!r}")
        self._rules = rules or TextRules()
        self._vocabulary = Vocabulary(vocab, merges, special_tokens, gaps=self._rules.gaps)
        self._pattern = pattern
        self._encoding = Encoding(self._vocabulary, pattern, self._rules)
        self._fingerprint: str | None = None

    @classmethod
    def from_files(
        cls,
        vocab_path: str | os.PathLike[str],
        merges_path: str | os.PathLike[str],
        special_tokens: Iterable[str] | Mapping[str, int] | None = None,
    ) -> "Tokenizer":
        """Read GPT-2's `vocab.json` and `merges.txt`, also where a special token stands in `vocab.json` as it is.

        Args:
            vocab_path: of the file of tokens and ids.
            merges_path: of the file of merges.
            special_tokens: as for `Tokenizer`.

        Raises:
            TypeError: a special token is no string, or its id no whole number.
            FileNotFoundError: a file is missing.
            ValueError: a file is malformed, the two don't fit together, or a special token can't have its id.
        """
        specials = named_specials(special_tokens)
        for path in (vocab_path, merges_path):
            if not Path(path).is_file():
                raise FileNotFoundError(f"there is no file {str(path)!r} (looked from {Path.cwd()})")
        merges = gpt2.read_merges(merges_path)
        with _naming(f"{vocab_path} and {Path(merges_path).name}"):
            return cls(gpt2.read_vocab(vocab_path, merges, specials), merges, specials)

    @classmethod
    def from_folder(cls, folder: str | os.PathLike[str]) -> "Tokenizer":
        """Read what `save` wrote.

        Raises:
            FileNotFoundError: a file is missing.
            ValueError: a file is malformed, or the files are from different tokenizers.
        """
        config = folders.read_config(folder)
        merges = gpt2.read_merges(Path(folder) / folders.MERGES)
        vocab_path, specials = Path(folder) / folders.VOCAB, config["special_tokens"]
        with _naming(folder):
            vocab = gpt2.read_vocab(vocab_path)
            tokenizer = cls(vocab, merges, specials, pattern=config["pattern"], rules=config["rules"])
        if tokenizer.fingerprint != config["fingerprint"]:
            gpt2.read_vocab(vocab_path, merges, specials)  # says more where the merges were cut off
            raise ValueError(
                f"the files in {folder} don't belong together: {folders.CONFIG} says fingerprint "
                f"{config['fingerprint'][:12]}..., but vocab.json and merges.txt give {tokenizer.fingerprint[:12]}..."
            )
        return tokenizer

    @classmethod
    def from_hf_json(cls, path: str | os.PathLike[str], *, text_only: bool = False) -> "Tokenizer":
        """Read a Hugging Face `tokenizer.json` of the byte-level BPE kind: GPT-2's, Llama 3's, Qwen's, and their like.

        Ids are those of `tokenizers`. Decoding gives an added token its own text, where `tokenizers` decodes letters
        beyond ASCII in it as GPT-2's spelling of bytes.

        Args:
            path: of the file.
            text_only: read a file that puts tokens around each text, cuts texts off or pads them: for the ids of the
                text alone, those of `tokenizers` with `add_special_tokens=False`.

        Raises:
            FileNotFoundError: there is no such file.
            ValueError: the file holds another kind of tokenizer, or a setting that would change the ids; the message
                names it.
        """
        found = hf_reading.read_hf_json(path, text_only)
        with _naming(path):
            return cls(found.vocab, found.merges, found.special_tokens, pattern=found.pattern, rules=found.rules)

    @classmethod
    def from_tiktoken_ranks(
        cls,
        path: str | os.PathLike[str],
        special_tokens: Mapping[str, int] | Iterable[str] | None = None,
        *,
        pattern: str = PAT,
        expected_ranks: int | None = None,
    ) -> "Tokenizer":
        """Read a `.tiktoken` rank file and recover the merges from it.

        Args:
            path: each line a token in base64 and its rank.
            special_tokens: special token -> id as in tiktoken, or strings, which take the next free ids.
            pattern: rank files don't name it. GPT-2's is right for r50k_base and p50k_base, not for cl100k_base.
            expected_ranks: the number of lines; a file that was cut off between two of them looks like a whole one.

        Warns of special tokens that begin alike, of which tiktoken may find the shorter one.

        Raises:
            TypeError: a special token is no string, or its id or `expected_ranks` no whole number.
            FileNotFoundError: there is no such file.
            ValueError: the file is malformed, or no byte-pair encoding, or ranks are missing; the message names the
                line or the token.
        """
        named = named_specials(special_tokens)
        if expected_ranks is not None:
            expected_ranks = check_whole("expected_ranks", expected_ranks, least=1)
        ranks = tiktoken_format.read_ranks(path)
        with _naming(path):
            tiktoken_format.check_whole_file(ranks, named, expected_ranks)
            vocab, specials = tiktoken_format.vocab_with_specials(ranks, named)
            # Ranks are ids, and so are those that a mapping names: cl100k_base leaves some out between the two, and
            # p50k_base one among its ranks. Strings would take ids behind them: not that one.
            holes = len(vocab) < max(vocab, default=0) + 1
            rules = TextRules(gaps=holes and (isinstance(named, dict) or not specials))
            return cls(vocab, tiktoken_format.merges_from_ranks(ranks), specials, pattern=pattern, rules=rules)

    def encode(self, text: str) -> list[int]:
        """The ids of a string.

        Args:
            text: any string; special tokens in it become one id each.

        Returns:
            Token ids.

        Raises:
            TypeError: `text` is not a string.
            ValueError: it holds a lone surrogate that stands for no byte.
        """
        return self._encoding.to_list(text)

    def encode_to_array(self, text: "str | bytes | memoryview", *, workers: int = 1) -> np.ndarray:
        """The ids of a string or of UTF-8 bytes, as numpy int32: several times faster than a list of a long text.

        Bytes-like objects are read where they are: `memoryview(mmap)` of a big file is not copied. To bound the memory
        that the ids take, use `encode_blocks`.

        Args:
            text: a string, or contiguous bytes.
            workers: threads to share a long text among. They run without the GIL; the ids don't depend on their number.

        Returns:
            int32 array of shape (number of tokens,).

        >>> Tokenizer({i: bytes([i]) for i in range(256)}, []).encode_to_array(b"hi")
        array([104, 105], dtype=int32)
        """
        return self._encoding.to_array(text, workers)

    def encode_blocks(
        self, data: "bytes | memoryview", *, block_bytes: int = 1 << 20, workers: int = 1
    ) -> Iterator[np.ndarray]:
        """The ids of a big buffer, a block at a time; joined they are `encode_to_array(data)`.

        This is how to encode a file that is larger than memory: map it, and write each array as it comes.

        Args:
            data: contiguous bytes, such as `memoryview(mmap.mmap(...))`; never copied as a whole.
            block_bytes: bytes to encode at a time, about; a block ends where no pre-token can cross.
            workers: threads; as many blocks are in work at a time.

        Yields:
            int32 arrays in the order of the text.

        >>> tokenizer = Tokenizer({i: bytes([i]) for i in range(256)}, [])
        >>> [ids.tolist() for ids in tokenizer.encode_blocks(b"aa bb cc dd", block_bytes=5)]
        [[97, 97, 32, 98, 98], [32, 99, 99, 32, 100, 100]]
        """
        return self._encoding.blocks(data, block_bytes, workers)

    def encode_batch(self, texts: Sequence[str], *, workers: int = 1) -> list[list[int]]:
        """The ids of each of several strings.

        >>> Tokenizer({i: bytes([i]) for i in range(256)}, []).encode_batch(["a", "", "bc"])
        [[97], [], [98, 99]]
        """
        return self._encoding.to_lists(texts, workers)

    def encode_iterable(self, chunks: "Iterable[str] | Iterable[bytes]") -> Iterator[int]:
        """The ids of a stream: exactly `encode("".join(chunks))`, in memory that does not grow with the stream.

        Args:
            chunks: strings (an open file gives its lines) or bytes objects. They may end anywhere, also inside a word,
                a special token or a UTF-8 character.

        Yields:
            Token ids. About 8,000 characters are held at a time, and under 1 MB in all; a single word without an end is
            held whole.

        Source: handout section 2.6.2.

        >>> tokenizer = Tokenizer({i: bytes([i]) for i in range(256)}, [], ["<s>"])
        >>> list(tokenizer.encode_iterable(["a<", "s", ">b"]))
        [97, 256, 98]
        """
        return chain.from_iterable(self._encoding.stream(chunks))

    def decode(self, ids: Iterable[int]) -> str:
        r"""The text of ids; bytes that are not UTF-8 come out as U+FFFD, like `bytes.decode(errors="replace")`.

        Raises:
            TypeError: an id is not an integer.
            ValueError: an id is not in the vocabulary; the message names it.

        >>> Tokenizer({i: bytes([i]) for i in range(256)}, []).decode([104, 105, 255])
        'hi\ufffd'
        """
        return self.decode_bytes(ids).decode("utf-8", "replace")

    def decode_bytes(self, ids: Iterable[int]) -> bytes:
        """The bytes of ids, exactly those that were encoded.

        Args:
            ids: integers: a list, a numpy array, a tensor, any iterable.

        Raises:
            TypeError: an id is not an integer.
            ValueError: an id is not in the vocabulary; the message names it.
        """
        return self._vocabulary.join(ids)

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Write `vocab.json`, `merges.txt` (GPT-2's formats) and `tokenizer_config.json`; read them with `from_folder`.

        Args:
            folder: is made when missing. A failure leaves what is in it untouched.

        Raises:
            FileExistsError: the folder holds such files of another tokenizer than this library's; nothing was written.
        """
        config = {
            "format": folders.FORMAT,
            "special_tokens": self.special_tokens,
            "pattern": self._pattern,
            "fingerprint": self.fingerprint,
            **({"rules": self._rules.to_dict()} if self._rules != TextRules() else {}),
        }
        folders.write_together(
            folder,
            {
                folders.CONFIG: folders.json_text(config),
                folders.VOCAB: gpt2.vocab_text(self._vocabulary.tokens),
                folders.MERGES: gpt2.merges_text(self._vocabulary.merges),
            },
            folders.check_own_file,
        )

    def to_hf_json(self, path: str | os.PathLike[str]) -> None:
        """Write a `tokenizer.json` that `tokenizers` and transformers open, with the same ids.

        `tokenizers.Tokenizer.from_file(path)`, or `transformers.PreTrainedTokenizerFast(tokenizer_file=path)`.

        Warns of special tokens that these would not decode to their own text, such as "<\u00e9>".

        Raises:
            ValueError: the format can't hold a special token that is also an ordinary token in another spelling.
            FileExistsError: another program wrote the file that is there.
        """
        huggingface.check_own_json(Path(path))
        text = huggingface.hf_json(self._vocabulary, self._pattern, self._rules)
        folders.write_together(Path(path).parent, {Path(path).name: text}, huggingface.check_own_json)

    def to_tiktoken(self, name: str = "cs336") -> "tiktoken.Encoding":
        """A real `tiktoken.Encoding` with the same ids (needs tiktoken; see `formats.tiktoken` on Unicode versions).

        tiktoken refuses special tokens in a text unless told otherwise: `.encode(text, disallowed_special=(),
        allowed_special=set(tokenizer.special_tokens))`. Tokens that no merge makes count as special ones there, so
        `allowed_special="all"` would find them as well.

        Raises:
            ImportError: tiktoken is not installed.
            ValueError: tiktoken's rule can't express these merges, or it finds another special token where two begin
                alike; the message names the first it can't, or the two.
        """
        return tiktoken_format.to_tiktoken(self._vocabulary, self._pattern, self._rules, name)

    @property
    def vocab(self) -> dict[int, bytes]:
        """Id -> bytes, a copy."""
        return {i: token for i, token in enumerate(self._vocabulary.tokens) if token is not None}

    @property
    def merges(self) -> list[tuple[bytes, bytes]]:
        """Pairs of tokens, the first learned first, a copy."""
        return list(self._vocabulary.merges)

    @property
    def special_tokens(self) -> list[str]:
        """The special tokens, in the order in which they were named."""
        return list(self._vocabulary.specials.strings)

    @property
    def pattern(self) -> str:
        """The pre-token pattern."""
        return self._pattern

    @property
    def rules(self) -> TextRules:
        """What it does besides pattern, merges and special tokens."""
        return self._rules

    @property
    def cuts_at_words(self) -> bool:
        """Whether a text may be cut at ends of words, and its parts be encoded one by one; else at special tokens."""
        return self._encoding.cuts_at_words

    @property
    def vocab_size(self) -> int:
        """Number of tokens, special ones and gaps included; ids are below it."""
        return len(self._vocabulary.tokens)

    @property
    def gaps(self) -> list[int]:
        """Ids below `vocab_size` that have no token, which only rules with `gaps` allow; no text has one of them.

        >>> Tokenizer({i: bytes([i]) for i in range(256)} | {258: b"th"}, [], rules=TextRules(gaps=True)).gaps
        [256, 257]
        """
        return [i for i, token in enumerate(self._vocabulary.tokens) if token is None] if self._rules.gaps else []

    @property
    def fingerprint(self) -> str:
        """SHA-256, in hexadecimal, of all that decides the ids; it names the tokenizer in token files."""
        if self._fingerprint is None:
            self._fingerprint = self._vocabulary.fingerprint(self._pattern, self._rules.to_dict())
        return self._fingerprint

    def __len__(self) -> int:
        return self.vocab_size

    def __repr__(self) -> str:
        merges, special_tokens = len(self._vocabulary.merges), self.special_tokens
        return f"Tokenizer(vocab_size={self.vocab_size}, {merges=}, {special_tokens=})"

    def __reduce__(self) -> tuple[Any, ...]:
        return _unpickle, (self._vocabulary.packed(), self.special_tokens, self._pattern, self._rules)


def _unpickle(
    packed: tuple[bytes, bytes, bytes], special_tokens: list[str], pattern: str, rules: TextRules
) -> Tokenizer:
    vocab, merges = Vocabulary.unpacked(packed)
    return Tokenizer(vocab, merges, special_tokens, pattern=pattern, rules=rules)


@contextmanager
def _naming(path: object) -> Iterator[None]:
    """Name the file in an error about what it holds."""
    try:
        yield
    except ValueError as error:
        if str(path) in str(error):
            raise
        raise ValueError(f"{path}: {error}") from None
