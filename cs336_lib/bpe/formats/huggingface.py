"""To and from Hugging Face: one `tokenizer.json`, which `tokenizers` and transformers open.

    model           type "BPE", vocab (GPT-2's spelling -> id), merges
    pre_tokenizer   ByteLevel with use_regex: that is GPT-2's pattern
    decoder         ByteLevel
    added_tokens    the special tokens; the library finds the longest at each place, as we do

The file is plain JSON, so neither reading nor writing needs a package of theirs.
"""

import json
import os
from pathlib import Path
from typing import Any

from cs336_lib.bpe.cutting.pattern import PAT
from cs336_lib.bpe.formats.gpt2 import merges_from_lines, spell, unspell, vocab_from_spelling
from cs336_lib.bpe.vocabulary import Vocabulary


def hf_json(vocabulary: Vocabulary, pattern: str) -> str:
    """The content of a `tokenizer.json` with the same ids.

    Raises:
        ValueError: the format can't hold one of the special tokens; the message names it.
    """
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True}
    before: dict[str, Any] = {**byte_level, "use_regex": True}
    if pattern != PAT:
        split = {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False}
        before = {"type": "Sequence", "pretokenizers": [split, {**byte_level, "use_regex": False}]}
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
            "normalizer": None,
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
                "ignore_merges": False,
                "vocab": _spelled_vocab(vocabulary),
                "merges": [[spell(left), spell(right)] for left, right in vocabulary.merges],
            },
        },
        ensure_ascii=False,
    )


def _spelled_vocab(vocabulary: Vocabulary) -> dict[str, int]:
    """Token -> id; special tokens stand as they are, since `tokenizers` looks their ids up here by their own text."""
    special_of = {i: special for special, i in vocabulary.special_ids.items()}
    merged = {left + right for left, right in vocabulary.merges}
    spelled: dict[str, int] = {}
    for i, token in enumerate(vocabulary.tokens):
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


def read_hf_json(path: str | os.PathLike[str]) -> tuple[dict[int, bytes], list[tuple[bytes, bytes]], list[str], str]:
    """Read a `tokenizer.json` of the byte-level BPE kind.

    Returns:
        Vocabulary, merges, special tokens and the pre-token pattern.

    Raises:
        ValueError: the file holds another kind of tokenizer, or a setting that would change the ids; the message names
            it.
    """
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
        model, added = content["model"], content.get("added_tokens") or []
        vocab = vocab_from_spelling(model["vocab"], str(path))
        lines = [line if isinstance(line, str) else " ".join(line) for line in model["merges"]]
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is not JSON in UTF-8: {error}") from None
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{path} is not a tokenizer.json with a BPE model: {error!r}") from None
    pattern = _pattern(content, path)
    _check_settings(content, path)
    for token in added:
        encoded = token["content"].encode()
        for setting in ("single_word", "lstrip", "rstrip"):
            if token.get(setting):
                raise ValueError(
                    f"{path}: the added token {token['content']!r} has {setting}=true, which this library can't do"
                )
        held = vocab.setdefault(token["id"], encoded)
        # A special token of ours may hold a space, which in the model's vocabulary would be spelled U+0120.
        if held != encoded and held != unspell(token["content"]):
            raise ValueError(
                f"{path}: the added token {token['content']!r} can't have the id {token['id']}: it is {held!r}"
            )
        vocab[token["id"]] = encoded
    return vocab, merges_from_lines(lines, f"{path}, merges"), [token["content"] for token in added], pattern


def _pattern(content: dict[str, Any], path: str | os.PathLike[str]) -> str:
    before = content.get("pre_tokenizer") or {}
    steps = before.get("pretokenizers", [before])
    kinds = [step.get("type") for step in steps]
    if any(step.get("add_prefix_space") for step in steps):
        raise ValueError(f"{path}: the pre-tokenizer has add_prefix_space=true; this library can't")
    if kinds == ["ByteLevel"] and steps[0].get("use_regex", True):
        return PAT
    if kinds == ["Split", "ByteLevel"] and not steps[1].get("use_regex", True):
        regex = steps[0].get("pattern", {}).get("Regex")
        if regex and steps[0].get("behavior") == "Isolated" and not steps[0].get("invert"):
            return str(regex)
    raise ValueError(
        f"{path}: the pre-tokenizer is {json.dumps(before)[:200]}; this library reads ByteLevel, and Split by a Regex "
        "(Isolated) followed by ByteLevel without its own"
    )


def _check_settings(content: dict[str, Any], path: str | os.PathLike[str]) -> None:
    model = content["model"]
    if model.get("type", "BPE") != "BPE":
        raise ValueError(f"{path}: the model is {model['type']!r}; only 'BPE' can be read")
    if content.get("normalizer"):
        raise ValueError(
            f"{path}: it normalizes text ({json.dumps(content['normalizer'])[:100]}); this library keeps every byte"
        )
    for setting in ("dropout", "continuing_subword_prefix", "end_of_word_suffix", "byte_fallback", "ignore_merges"):
        if model.get(setting):
            raise ValueError(f"{path}: the model has {setting}={model[setting]!r}, which this library can't do")
