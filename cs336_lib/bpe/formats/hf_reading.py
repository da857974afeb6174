"""Read a Hugging Face `tokenizer.json`: each setting is honored, or refused by its name.

model           BPE; `ignore_merges`, ids that are missing and bytes that are missing are honored
normalizer      none, or NFC
pre_tokenizer   ByteLevel, also with a prefix space; or Split by a Regex (Isolated) and ByteLevel
added_tokens    as special tokens, where every reader gives them the ids that their entries name
post_processor  none, or one that adds no tokens; `text_only` leaves out those that one adds, and `truncation` and
                `padding` as well
decoder         ByteLevel
"""

import json
import os
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from cs336_lib.bpe.cutting.pattern import PAT
from cs336_lib.bpe.formats.dialects import check_alike, check_takes_something
from cs336_lib.bpe.formats.gpt2 import is_spelled, unspell, vocab_from_spelling
from cs336_lib.bpe.formats.hf_pattern import from_oniguruma
from cs336_lib.bpe.rules import TextRules
from cs336_lib.bpe.specials import SpecialTokens
from cs336_lib.jsonfile import read_json
from cs336_lib.naming import did_you_mean

_TOP = ("version", "truncation", "padding", "added_tokens", "normalizer", "pre_tokenizer", "post_processor", "decoder")
_MODEL = (
    *("type", "dropout", "unk_token", "continuing_subword_prefix", "end_of_word_suffix", "fuse_unk"),
    *("byte_fallback", "ignore_merges", "vocab", "merges"),
)
_TOKEN = ("id", "content", "single_word", "lstrip", "rstrip", "normalized", "special")
_LARGEST_ID = 1 << 24


class HfFile(NamedTuple):
    """What a `tokenizer.json` holds."""

    vocab: dict[int, bytes]
    merges: list[tuple[bytes, bytes]]
    special_tokens: list[str]
    pattern: str
    rules: TextRules


def read_hf_json(path: str | os.PathLike[str], text_only: bool = False) -> HfFile:
    """Read a `tokenizer.json` of the byte-level BPE kind.

    Args:
        path: of the file.
        text_only: leave out what the file would add around a text, cut off or pad it with.

    Raises:
        ValueError: the file holds another kind of tokenizer, or a setting that would change the ids; the message names
            it.
    """
    content = read_json(path)
    try:
        return _read(content, path, text_only)
    except (TypeError, AttributeError, LookupError) as error:
        raise ValueError(f"{path} is no tokenizer.json that tokenizers would write: {error}") from error


def _read(content: dict[str, Any], path: str | os.PathLike[str], text_only: bool) -> HfFile:
    model = content.get("model")
    if not isinstance(model, dict) or not isinstance(model.get("vocab"), dict) or "merges" not in model:
        raise ValueError(f"{path} is not a tokenizer.json with a BPE model: it has no model with vocab and merges")
    if model.get("type", "BPE") != "BPE":
        raise ValueError(f"{path}: the model is {model['type']!r}; only 'BPE' can be read")
    _refuse_unknown(content, (*_TOP, "model"), f"{path}")
    _refuse_unknown(model, _MODEL, f"{path}, model")
    if not isinstance(model.get("ignore_merges", False), bool | None):
        raise ValueError(f"{path}: the model has ignore_merges={model['ignore_merges']!r}; it must be true or false")
    if not isinstance(model.get("unk_token"), str | None):
        raise ValueError(f"{path}: the model has unk_token={model['unk_token']!r}; it must be a string or null")
    for setting in ("dropout", "continuing_subword_prefix", "end_of_word_suffix", "byte_fallback"):
        if model.get(setting):
            raise ValueError(f"{path}: the model has {setting}={model[setting]!r}, which this library can't do")
    pattern, prefix_space = _pre_tokenizer(content, path)
    nfc = _is_nfc(content.get("normalizer"), path)
    _check_decoder(content.get("decoder"), path)
    if not text_only:
        _check_surroundings(content, path)
    merges = _merges(model["merges"], path)
    spelled = model["vocab"]
    vocab = vocab_from_spelling(spelled, f"{path}, vocab")
    made = {left + right for left, right in merges}
    added = _added_tokens(content.get("added_tokens") or [], path, nfc)
    _check_spelling(spelled, made if not model.get("ignore_merges") else None, {text for text, _ in added}, path)
    _enter(added, vocab, spelled, made, path)
    if vocab and max(vocab) >= _LARGEST_ID:
        raise ValueError(f"{path}: the id {max(vocab)} is too large for a vocabulary of {len(vocab)} tokens")
    missing_bytes = not {bytes([byte]) for byte in range(256)} <= set(vocab.values())
    if missing_bytes and model.get("unk_token") is not None:
        raise ValueError(
            f"{path}: the vocabulary lacks single bytes, for which it would write unk_token={model['unk_token']!r}; "
            "this library loses no text: add the missing bytes to the vocabulary"
        )
    gaps = missing_bytes or sorted(vocab) != list(range(len(vocab)))
    rules = TextRules(prefix_space, nfc, bool(model.get("ignore_merges")), gaps)
    return HfFile(vocab, merges, [token for token, _ in added], pattern, rules)


def _refuse_unknown(content: Mapping[str, Any], known: Iterable[str], where: str) -> None:
    for key, value in content.items():
        if key not in known and value is not None:
            raise ValueError(
                f"{where}: the key {key!r} is unknown here, and may change the ids{did_you_mean(key, known)}"
            )


def _shown(value: Any) -> str:
    return json.dumps(value)[:160]


def _steps(value: Any, inner: str) -> list[dict[str, Any]]:
    """The steps of a Sequence, or the one that there is."""
    if not value:
        return []
    if not isinstance(value, dict):
        return [{"type": value}]
    steps = value.get(inner) if value.get("type") == "Sequence" else [value]
    return [step if isinstance(step, dict) else {"type": step} for step in steps or []]


def _pre_tokenizer(content: Mapping[str, Any], path: str | os.PathLike[str]) -> tuple[str, bool]:
    """The pattern, and whether a space is put first."""
    before = content.get("pre_tokenizer")
    steps = _steps(before, "pretokenizers")
    kinds = [step.get("type") for step in steps]
    if kinds == ["ByteLevel"] and steps[0].get("use_regex", True):
        return PAT, bool(steps[0].get("add_prefix_space"))
    if kinds == ["Split", "ByteLevel"] and not steps[1].get("use_regex", True):
        if steps[1].get("add_prefix_space"):
            raise ValueError(
                f"{path}: the pre-tokenizer has add_prefix_space=true behind a Split; this library puts a space before "
                "a stretch of text, not before each pre-token"
            )
        split = steps[0].get("pattern")
        regex = split.get("Regex") if isinstance(split, dict) else None
        if isinstance(regex, str) and regex and steps[0].get("behavior") == "Isolated" and not steps[0].get("invert"):
            try:
                check_alike(regex)
                ours = from_oniguruma(regex)
                check_takes_something(ours)
            except ValueError as error:
                raise ValueError(f"{path}: {error}") from None
            return ours, False
    is_so = f"has {why}" if (why := _unlike(steps)) else f"is {_shown(before)}"
    raise ValueError(
        f"{path}: the pre-tokenizer {is_so}; this library reads ByteLevel, and Split by a Regex (Isolated) followed "
        "by ByteLevel without its own"
    )


def _unlike(steps: Sequence[dict[str, Any]]) -> str:
    """What differs from the steps that are read, where their kinds are the same or one has no other use."""
    for step in steps:
        kind, split = step.get("type"), step.get("pattern")
        if kind not in ("Split", "ByteLevel"):
            return f"the step {_shown(kind)}"
        if kind == "Split":
            if step.get("behavior") != "Isolated":
                return f"a Split with behavior={_shown(step.get('behavior'))}"
            if step.get("invert"):
                return f"a Split with invert={_shown(step['invert'])}"
            if not isinstance(split, dict) or not isinstance(split.get("Regex"), str) or not split["Regex"]:
                return f"a Split by {_shown(split)}"
    kinds = [step.get("type") for step in steps]
    if kinds == ["Split", "ByteLevel"]:
        return "a ByteLevel with use_regex=true behind a Split"
    if kinds == ["ByteLevel"]:
        return "a ByteLevel with use_regex=false and nothing before it"
    return f"the steps {', '.join(map(str, kinds))}" if kinds else ""


def _is_nfc(normalizer: Any, path: str | os.PathLike[str]) -> bool:
    kinds = [step.get("type") for step in _steps(normalizer, "normalizers")]
    if not set(kinds) <= {"NFC"}:
        raise ValueError(
            f"{path}: it normalizes text by {_shown(normalizer)}; this library can do NFC and nothing else"
        )
    return bool(kinds)


def _check_decoder(decoder: Any, path: str | os.PathLike[str]) -> None:
    if [step.get("type") for step in _steps(decoder, "decoders")] != ["ByteLevel"]:
        raise ValueError(f"{path}: the decoder is {_shown(decoder)}; this library reads ByteLevel and nothing else")


def _check_surroundings(content: Mapping[str, Any], path: str | os.PathLike[str]) -> None:
    """Refuse what puts tokens around a text, cuts it off or pads it."""
    cure = "; Tokenizer.from_hf_json(path, text_only=True) gives the ids of the text alone"
    for step in _steps(content.get("post_processor"), "processors"):
        kind = step.get("type")
        if kind == "TemplateProcessing":
            single = step.get("single")
            names = [part["SpecialToken"].get("id") for part in single or [] if "SpecialToken" in part]
            texts = [part["Sequence"].get("id") for part in single or [] if "Sequence" in part]
            if texts != ["A"]:
                raise ValueError(
                    f"{path}: the post_processor (TemplateProcessing) makes {_shown(single)} of a text, which is not "
                    f"the text once{cure}"
                )
        elif kind in ("BertProcessing", "RobertaProcessing"):
            names = [step.get("cls", [None])[0], step.get("sep", [None])[0]]
        elif kind == "ByteLevel":
            names = []
        else:
            raise ValueError(f"{path}: the post_processor {_shown(step)} is unknown here, and may add tokens{cure}")
        if names:
            raise ValueError(
                f"{path}: the post_processor ({kind}) puts {', '.join(map(repr, names))} around each text, as "
                f"tokenizers does unless add_special_tokens=False{cure}"
            )
    for setting in ("truncation", "padding"):
        if content.get(setting):
            what = "cuts texts off" if setting == "truncation" else "pads texts"
            raise ValueError(f"{path}: its {setting} {what} ({_shown(content[setting])}){cure}")


def _merges(lines: Any, path: str | os.PathLike[str]) -> list[tuple[bytes, bytes]]:
    if not isinstance(lines, list):
        raise ValueError(f"{path}: merges must be a list, got {type(lines).__name__}")
    merges = []
    for number, line in enumerate(lines, 1):
        parts = line.split(" ") if isinstance(line, str) else line
        if not isinstance(parts, list) or len(parts) != 2 or not all(isinstance(part, str) and part for part in parts):
            raise ValueError(f"{path}, merges, line {number}: expected two parts, got {line!r}")
        merges.append((unspell(parts[0]), unspell(parts[1])))
    return merges


def _added_tokens(entries: Any, path: str | os.PathLike[str], nfc: bool) -> list[tuple[str, int]]:
    """Content and id of each added token."""
    added: dict[str, int] = {}
    raw: list[str] = []
    normalized: list[str] = []
    if not isinstance(entries, list):
        raise ValueError(f"{path}: added_tokens must be a list, got {type(entries).__name__}")
    for place, token in enumerate(entries):
        where = f"{path}: added_tokens[{place}]"
        if not isinstance(token, dict):
            raise ValueError(f"{where} must be an object, got {token!r}")
        text, i = token.get("content"), token.get("id")
        if not isinstance(text, str) or not text:
            raise ValueError(f"{where} has no content: {_shown(token)}")
        if isinstance(i, bool) or not isinstance(i, int) or i < 0:
            raise ValueError(f"{where}, {text!r}, has no id that is a number from 0 on: {_shown(token)}")
        _refuse_unknown(token, _TOKEN, where)
        for setting in ("single_word", "lstrip", "rstrip"):
            if token.get(setting):
                raise ValueError(f"{path}: the added token {text!r} has {setting}=true, which this library can't do")
        if text in added:
            raise ValueError(f"{where} repeats the added token {text!r}; remove one of the two")
        added[text] = i
        (normalized if token.get("normalized") else raw).append(text)
    if nfc and normalized:
        raise ValueError(
            f"{path}: the added token {normalized[0]!r} has normalized=true, and is to be found after the text was "
            "brought into NFC; this library finds added tokens first"
        )
    _check_passes(raw, normalized, path)
    return list(added.items())


def _check_passes(raw: list[str], normalized: list[str], path: str | os.PathLike[str]) -> None:
    """Refuse added tokens for which it matters that those with normalized=false are looked for first."""
    inside, starts = SpecialTokens(raw), {token[:size] for token in raw for size in range(1, len(token) + 1)}
    for token in normalized:
        held = next((token[a:b] for a, b in inside.spans(token)), None)
        tail = next((token[at:] for at in range(1, len(token)) if token[at:] in starts), None)
        if held or tail:
            raise ValueError(
                f"{path}: the added token {token!r} (normalized=true) holds or overlaps one with normalized=false "
                f"({held or tail!r}), which tokenizers looks for in an earlier pass; give both the same setting"
            )


def _check_spelling(
    spelled: Mapping[str, int], made: set[bytes] | None, added: Collection[str], path: str | os.PathLike[str]
) -> None:
    """Refuse tokens that no text gets there, since they are not spelled in GPT-2's letters, and would get here.

    Args:
        spelled: the vocabulary.
        made: what merges make; None if each token may be looked up whole (`ignore_merges`).
        added: the added tokens, which are found before.
        path: of the file.
    """
    for text, i in spelled.items():
        if text not in added and not is_spelled(text) and (made is None or unspell(text) in made):
            raise ValueError(
                f"{path}: the token {text!r} (id {i}) is not spelled in GPT-2's letters for bytes, so tokenizers never "
                "finds it in a text; spell it so, or make it an added token"
            )


def _enter(
    added: list[tuple[str, int]],
    vocab: dict[int, bytes],
    spelled: Mapping[str, int],
    made: set[bytes],
    path: str | os.PathLike[str],
) -> None:
    """Give added tokens their ids, where readers agree on them."""
    following = len(spelled)
    known = {token: i for i, token in vocab.items()}
    for text, i in added:
        # tokenizers takes the vocabulary's id for a token that is there, and counts on for others.
        theirs = spelled.get(text, following)
        following += text not in spelled
        if i != theirs:
            cure = "number added tokens on from the vocabulary"
            if text in spelled:
                cure = f"the vocabulary has it as {theirs}: give the entry that id, or leave it out"
            raise ValueError(
                f"{path}: the added token {text!r} can't have the id {i}: tokenizers gives it {theirs}, whatever the "
                f"entry says, and other readers take the entry's; {cure}"
            )
        encoded = text.encode()
        held = vocab.get(i)
        if held is not None and held != encoded and (text not in spelled or held in made or len(held) == 1):
            raise ValueError(f"{path}: the added token {text!r} can't have the id {i}: it is {held!r}")
        if known.get(encoded, i) != i:
            raise ValueError(
                f"{path}: the added token {text!r} (id {i}) has the same bytes as the token {known[encoded]}, and this "
                "library holds each once"
            )
        vocab[i] = encoded
        known[encoded] = i
