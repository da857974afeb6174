"""To Hugging Face: one `tokenizer.json`, which `tokenizers` and transformers open; `hf_reading` is the way back.

    model           type "BPE", vocab (GPT-2's spelling -> id), merges
    pre_tokenizer   ByteLevel with use_regex: that is GPT-2's pattern
    decoder         ByteLevel
    added_tokens    the special tokens; the library finds the longest at each place, as we do

The file is plain JSON, so neither reading nor writing needs a package of theirs.
"""

import json
import warnings
from pathlib import Path
from typing import Any

from cs336_lib.atomic import check_own
from cs336_lib.bpe.cutting.pattern import PAT
from cs336_lib.bpe.formats.dialects import check_takes_something
from cs336_lib.bpe.formats.gpt2 import BYTE_TO_CHAR, spell
from cs336_lib.bpe.formats.hf_pattern import to_oniguruma
from cs336_lib.bpe.rules import TextRules
from cs336_lib.bpe.vocabulary import Vocabulary

_KEYS = [
    *("version", "truncation", "padding", "added_tokens", "normalizer", "pre_tokenizer", "post_processor", "decoder"),
    "model",
]
_MODEL_KEYS = [
    *("type", "dropout", "unk_token", "continuing_subword_prefix", "end_of_word_suffix", "fuse_unk", "byte_fallback"),
    *("ignore_merges", "vocab", "merges"),
]
_LETTERS = frozenset(BYTE_TO_CHAR.values())


def hf_json(vocabulary: Vocabulary, pattern: str, rules: TextRules) -> str:
    """The content of a `tokenizer.json` with the same ids.

    Warns where their decoder would not give a special token's text back: one that is made of GPT-2's letters for bytes
    alone, some of them beyond ASCII, such as "<\u00e9>".

    Raises:
        ValueError: the format can't hold one of the special tokens, or a prefix space with this pattern; the message
            names it.
    """
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True}
    before: dict[str, Any] = {**byte_level, "add_prefix_space": rules.prefix_space, "use_regex": True}
    if pattern != PAT:
        if rules.prefix_space:
            raise ValueError("a tokenizer.json can't hold a prefix space with another pattern than GPT-2's")
        check_takes_something(pattern)
        regex = to_oniguruma(pattern)
        split = {"type": "Split", "pattern": {"Regex": regex}, "behavior": "Isolated", "invert": False}
        before = {"type": "Sequence", "pretokenizers": [split, {**byte_level, "use_regex": False}]}
    spelled = _spelled_vocab(vocabulary)
    for special in vocabulary.special_ids:
        if not special.isascii() and set(special) <= _LETTERS:
            warnings.warn(
                f"tokenizers will not decode the special token {special!r} to its own text: it takes its letters for "
                "bytes; its id is right",
                stacklevel=3,
            )
    return json.dumps(
        {
            "version": "1.0",
            "truncation": None,
            "padding": None,
            "added_tokens": [
                {
                    "id": i,
                    "content": special,
                    "single_word": False,
                    "lstrip": False,
                    "rstrip": False,
                    "normalized": False,
                    "special": True,
                }
                for special, i in sorted(vocabulary.special_ids.items(), key=lambda item: item[1])
            ],
            "normalizer": {"type": "NFC"} if rules.nfc else None,
            "pre_tokenizer": before,
            "post_processor": None,
            "decoder": {**byte_level, "use_regex": True},
            "model": {
                "type": "BPE",
                "dropout": None,
                "unk_token": None,
                "continuing_subword_prefix": None,
                "end_of_word_suffix": None,
                "fuse_unk": False,
                "byte_fallback": False,
                "ignore_merges": rules.whole_words,
                "vocab": spelled,
                "merges": [[spell(left), spell(right)] for left, right in vocabulary.merges],
            },
        },
        ensure_ascii=False,
    )


def check_own_json(path: Path) -> None:
    """Raise FileExistsError if a file is there that `hf_json` did not write."""
    check_own(path, is_own, "no tokenizer.json that this library wrote")


def is_own(path: Path) -> bool:
    """Return whether a file is as `hf_json` writes one: in one line, with spaces, and with its keys in its order.

    `tokenizers` and transformers write other white space, and Python's `json` of their content another order of keys.
    """
    try:
        text = path.read_bytes().decode()
        content = json.loads(text)
        return (
            list(content) == _KEYS
            and list(content["model"]) == _MODEL_KEYS
            and all(list(token)[:3] == ["id", "content", "single_word"] for token in content["added_tokens"])
            and list(content["decoder"]) == ["type", "add_prefix_space", "trim_offsets", "use_regex"]
            and content["post_processor"] is content["truncation"] is content["padding"] is None
            and json.dumps(content, ensure_ascii=False) == text
        )
    except (ValueError, TypeError, LookupError, RecursionError):
        return False


def _spelled_vocab(vocabulary: Vocabulary) -> dict[str, int]:
    """Token -> id; special tokens stand as they are, since `tokenizers` looks their ids up here by their own text."""
    special_of = {i: special for special, i in vocabulary.special_ids.items()}
    merged = {left + right for left, right in vocabulary.merges}
    spelled: dict[str, int] = {}
    for i, token in enumerate(vocabulary.tokens):
        if token is None:
            continue
        text = special_of.get(i, spell(token))
        if text != spell(token) and (token in merged or len(token) == 1):
            raise ValueError(
                f"a tokenizer.json can't hold the special token {text!r}: it is also the ordinary token {i}, spelled "
                f"{spell(token)!r} there"
            )
        if spelled.setdefault(text, i) != i:
            clash = special_of.get(i) or special_of[spelled[text]]
            raise ValueError(
                f"a tokenizer.json can't hold the special token {clash!r}: another token is spelled so there"
            )
    return spelled
