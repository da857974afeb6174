"""What the instruments show, as JSON: made by the library, so that both say the same (tests/instruments)."""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import regex

from cs336_lib import results
from cs336_lib.accounting import DEVICES
from cs336_lib.bpe import Tokenizer
from cs336_lib.editions import EDITIONS
from cs336_lib.experiments import SUITES, outcome
from cs336_lib.model.config import PRESETS
from cs336_lib.training import RunRecord

STORED = Path(__file__).resolve().parent / "data"
_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"


@cache
def classes() -> dict[str, Any]:
    """Class of every code point, as `regex` sees the letters, numbers and white space of GPT-2's pattern.

    Returns:
        `runs`: "length:class" for each run, the length in base 36; 0 other, 1 letter, 2 number, 3 white space.

    >>> classes()["runs"].split()[:4]
    ['9:0', '5:3', 'i:0', '1:3']
    """
    table = np.zeros(0x110000, np.uint8)
    # Lone surrogates, and undecodable bytes that stand as such, are "other".
    symbols = "".join(chr(point) if not 0xD800 <= point < 0xE000 else "\0" for point in range(len(table)))
    for symbol_class, pattern in ((1, r"\p{L}+"), (2, r"\p{N}+"), (3, r"\s+")):
        for match in regex.finditer(pattern, symbols):
            table[slice(*match.span())] = symbol_class
    starts = np.flatnonzero(np.diff(table, prepend=np.uint8(255)))
    lengths = np.diff(starts, append=len(table))
    runs = zip(lengths.tolist(), table[starts].tolist(), strict=True)
    return {"runs": " ".join(f"{_base36(length)}:{symbol_class}" for length, symbol_class in runs)}


def _base36(number: int) -> str:
    digits = ""
    while number:
        number, rest = divmod(number, 36)
        digits = _DIGITS[rest] + digits
    return digits


def compact(
    name: str, vocab: Mapping[int, bytes], merges: Sequence[tuple[bytes, bytes]], specials: Sequence[str]
) -> dict[str, Any]:
    """A tokenizer as JSON: the id of each byte, merges as pairs of 16-bit ids, special tokens.

    Args:
        name: to show.
        vocab: id -> bytes.
        merges: the first learned first.
        specials: special tokens.

    Raises:
        ValueError: ids are not bytes, merges in their order, special tokens; or too many for 16 bits.
    """
    strings = {text.encode() for text in specials}
    ids = {token: i for i, token in vocab.items() if token not in strings}
    first = ids[merges[0][0] + merges[0][1]] if merges else 256
    if any(ids[left + right] != first + rank for rank, (left, right) in enumerate(merges)) or max(vocab) >= 2**16:
        raise ValueError(f"{name}: the ids of merged tokens must follow the merges, and fit in 16 bits")
    pairs = np.array([(ids[left], ids[right]) for left, right in merges], dtype="<u2")
    by_bytes = {token: i for i, token in vocab.items()}
    return {
        "name": name,
        "bytes": [ids[bytes([byte])] for byte in range(256)],
        "first_merge": first,
        "merges": base64.b64encode(pairs.tobytes()).decode(),
        "specials": {text: by_bytes[text.encode()] for text in specials},
    }


def trained(name: str, tokenizer: Tokenizer) -> dict[str, Any]:
    """One of the book's tokenizers."""
    return compact(name, tokenizer.vocab, tokenizer.merges, tokenizer.special_tokens)


def tales() -> dict[str, Any]:
    """The tokenizer of the recorded run `tales-1m-cpu`."""
    return trained("tales", RunRecord(results.folder() / "tales-1m-cpu").tokenizer)


def sample(name: str, folder: str) -> dict[str, Any]:
    """One of the assignment's two tokenizers, trained on a sample."""
    return trained(name, Tokenizer.from_folder(results.folder() / "tokenizers" / folder))


def gpt2() -> dict[str, Any]:
    """GPT-2's tokenizer, from the merges in `data/` (see its README)."""
    pairs = np.frombuffer((STORED / "gpt2-merges.bin").read_bytes(), "<u2").reshape(-1, 2)
    return {
        "name": "GPT-2",
        "bytes": gpt2_byte_ids(),
        "first_merge": 256,
        "merges": base64.b64encode(pairs.tobytes()).decode(),
        "specials": {"<|endoftext|>": 256 + len(pairs)},
    }


def gpt2_byte_ids() -> list[int]:
    """The ids of the 256 bytes in GPT-2's vocabulary: printable bytes first, then the others, each in order.

    >>> ids = gpt2_byte_ids()
    >>> ids[ord("!")], ids[ord("A")], ids[ord(" ")]
    (0, 32, 220)
    """
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    order = printable + [byte for byte in range(256) if byte not in set(printable)]
    return [order.index(byte) for byte in range(256)]


def accounting() -> dict[str, Any]:
    """Presets of models, devices, and whether an edition's list of activations has a gate."""
    return {
        "editions": {name: edition.gated_list for name, edition in EDITIONS.items()},
        "presets": {name: config.to_dict() for name, config in PRESETS.items()},
        "devices": {
            name: {"name": device.name, "peaks": dict(device.peaks), "memory": device.memory_bytes}
            for name, device in DEVICES.items()
        },
    }


def runs() -> dict[str, Any]:
    """Every run on record but the many of the quick scale, which take seconds: what it was, and its losses."""
    folder = results.folder()
    places = [path.parent for path in sorted(folder.glob("**/config.json"))]
    found = [RunRecord(place) for place in places if not place.parent.name.endswith("-quick")]
    return {"runs": [_run(record, folder) for record in found]}


def _run(record: RunRecord, folder: Path) -> dict[str, Any]:
    home = record.folder.relative_to(folder)
    config = record.config
    in_suite = home.parts[0] == "experiments"
    return {
        "suite": home.parts[1] if in_suite else "single runs",
        "name": _variations().get(home.name, home.name.partition("-seed")[0]),
        "lr": config.lr,
        "seed": config.seed,
        "status": str(end) if (end := outcome(record)).is_over else record.status["status"],
        "device": (device := str(record.environment.get("device", "unknown"))),
        # No record knows what else its machine did. Chapters 8 to 10 do: suites on a CPU were made beside other work.
        "shared": in_suite and device == "CPU",
        "train": _series(record, "train_loss", 4),
        "valid": _series(record, "valid_loss", None),
    }


@cache
def _variations() -> dict[str, str]:
    """Name of a run's folder -> name of the variation, such as "+ Muon" for "+-Muon-seed0"."""
    plans = [suite.plan(scale) for suite in SUITES.values() for scale in suite.scales]
    return {run.config.name: run.variation for plan in plans for run in plan}


def _series(record: RunRecord, metric: str, digits: int | None) -> dict[str, list[Any]]:
    lines = [line for line in record.metrics() if metric in line]
    losses = [line[metric] if math.isfinite(line[metric]) else None for line in lines]
    return {
        "steps": [line["step"] for line in lines],
        "tokens": [line["tokens"] for line in lines],
        "seconds": [round(line["seconds"], 1) for line in lines],
        "loss": [x if x is None or digits is None else round(x, digits) for x in losses],
    }


@cache
def model() -> dict[str, Any]:
    """A small model with its tokenizer, as `tools/instrument_model.py` stored it."""
    stored: dict[str, Any] = json.loads((STORED / "model.json").read_text(encoding="utf-8"))
    raw = (STORED / "model.bin").read_bytes()
    weights = sum(rows * columns for _, rows, columns in stored["shapes"])
    return {
        **stored,
        "weights": base64.b64encode(raw[:weights]).decode(),
        "scales": base64.b64encode(raw[weights:]).decode(),
        "tokenizer": tales(),
        "classes": classes()["runs"],
    }


PAYLOADS: dict[str, Callable[[], dict[str, Any]]] = {
    "classes": classes,
    "tales": tales,
    "tinystories-10k": lambda: sample("TinyStories sample", "tinystories-10k"),
    "owt-32k": lambda: sample("OpenWebText sample", "owt-32k"),
    "gpt2": gpt2,
    "accounting": accounting,
    "runs": runs,
    "model": model,
}
"""Name -> the function that makes the data."""
