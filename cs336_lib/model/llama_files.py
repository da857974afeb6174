"""What a folder of a Llama checkpoint says, checked: its config as ours, its weights, and their type.

Files of others come in all states. Each error names the file, and the key or the tensor.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from torch import Tensor

from cs336_lib.jsonfile import read_json
from cs336_lib.model.config import Backend, ModelConfig

_WEIGHTS, _INDEX = "model.safetensors", "model.safetensors.index.json"
_TYPES = (torch.float32, torch.bfloat16, torch.float16, torch.float64)
_FIXED = {
    **{"hidden_act": "silu", "attention_bias": False, "mlp_bias": False, "is_causal": True},
    **{"is_encoder_decoder": False, "partial_rotary_factor": 1.0},
}
"""Keys of which this model has one value; a file may leave them out."""
_ABSENT = (
    *("sliding_window", "attention_chunk_size", "kv_sharing_modes", "per_layer_config", "quantization_config"),
    *(
        "transformers_weights",
        "fusion_config",
        "text_config",
        "decoder",
        "generator",
        "attribute_map",
        "mtp_layer_types",
    ),
)
"""Keys that make another model of a Llama in transformers, or read its sizes or its weights elsewhere."""
_MAY_BE_NULL = ("num_key_value_heads", "head_dim", "partial_rotary_factor")
_SILU = ("silu", "swish")
"""Names of the one function that gates the feed-forward network here."""
_POSITIVE = "a number above 0, finite as a float"
_LARGEST_TABLE = 1 << 27
"""Positions times channels of a head: a million of 128, whose table is of 2 GB."""
_SIZES = (
    *("vocab_size", "max_position_embeddings", "hidden_size", "num_hidden_layers", "num_attention_heads"),
    "intermediate_size",
)


def our_config(theirs: dict[str, Any], path: Path, backend: Backend) -> ModelConfig:
    """Return the config of a Llama as ours.

    Args:
        theirs: the content of its `config.json`.
        path: of that file, for errors.
        backend: backend of the model.

    Raises:
        ValueError: a key is missing, of the wrong type, or asks for a part that our model has not.
    """
    if theirs.get("model_type") != "llama":
        raise ValueError(f"{path} has model_type={theirs.get('model_type')!r}; only 'llama' can be read")
    for key in _SIZES:
        if key not in theirs:
            raise ValueError(f"{path} has no {key}, without which the model's size is unknown")
        _check(theirs[key], _is_size, f"{path} has {key}", "a whole number, 1 or more")
    heads, width, layers = theirs["num_attention_heads"], theirs["hidden_size"], theirs["num_hidden_layers"]
    if width % (2 * heads):
        raise ValueError(
            f"{path} has num_attention_heads={heads!r}, which does not divide hidden_size={width!r} into heads of even "
            "width; RoPE turns pairs of channels"
        )
    for key, ours, why in (
        ("num_key_value_heads", heads, " (num_attention_heads)"),
        ("head_dim", width // heads, " (hidden_size / num_attention_heads)"),
        *((key, value, "") for key, value in _FIXED.items()),
        *((key, None, "") for key in _ABSENT),
    ):
        found = theirs.get(key, ours)
        if (found is None and key in _MAY_BE_NULL) or (key == "hidden_act" and found in _SILU):
            continue
        if found != ours or isinstance(found, bool) != isinstance(ours, bool):
            raise ValueError(f"{path} has {key}={_shown(found)}; this model has {ours!r} and nothing else{why}")
    if (kinds := theirs.get("layer_types")) is not None and (
        not isinstance(kinds, list) or len(kinds) != layers or any(kind != "full_attention" for kind in kinds)
    ):
        raise ValueError(
            f"{path} has layer_types={_shown(kinds)}; this model has 'full_attention' in each of its {layers} layers "
            "and nothing else"
        )
    tied = theirs.get("tie_word_embeddings", False)
    _check(tied, lambda value: isinstance(value, bool), f"{path} has tie_word_embeddings", "true or false")
    eps = theirs.get("rms_norm_eps", 1e-6)  # Llama's own default
    _check(eps, _is_positive, f"{path} has rms_norm_eps", _POSITIVE)
    positions, most = theirs["max_position_embeddings"], _LARGEST_TABLE // (width // heads)
    if positions > most:
        raise ValueError(
            f"{path} has max_position_embeddings={_shown(positions)}, too many for a table of sines and cosines; the "
            f"most is {most:,}: set it to the length of the longest text to be read"
        )
    return ModelConfig(
        vocab_size=theirs["vocab_size"],
        context_length=positions,
        d_model=width,
        num_layers=layers,
        num_heads=heads,
        d_ff=theirs["intermediate_size"],
        rope_theta=_rope_theta(theirs, path),
        norm_eps=float(eps),
        tie_embeddings=tied,
        tied_lookup="plain" if tied else "scaled",
        backend=backend,
    )


def _rope_theta(theirs: dict[str, Any], path: Path) -> float:
    """The base of the rotations, after a look at whether they are the plain ones.

    As in transformers 5, `rope_scaling` goes before `rope_parameters` if both hold something, and the key at the top is
    read where that object names no base.
    """
    given = {key: theirs[key] for key in ("rope_scaling", "rope_parameters") if theirs.get(key) is not None}
    for key, rope in given.items():
        _check(rope, lambda value: isinstance(value, dict), f"{path} has {key}", "an object")
        kind = rope.get("rope_type", rope.get("type", "default"))
        if kind != "default":
            raise ValueError(f"{path} has rope_type={_shown(kind)} in {key}; this model has 'default' and nothing else")
        for name, value in rope.items():
            if isinstance(value, dict) or (name == "partial_rotary_factor" and value != 1):
                raise ValueError(f"{path} has {name}={_shown(value)} in {key}; this model turns all channels alike")
        if "rope_theta" in rope:
            _check(rope["rope_theta"], _is_positive, f"{path}, {key}, has rope_theta", _POSITIVE)
    bases = {key: rope["rope_theta"] for key, rope in given.items() if "rope_theta" in rope}
    if len(set(bases.values())) > 1:
        raise ValueError(f"{path} has two values of rope_theta, {bases}; remove one of the two objects")
    theta = theirs.get("rope_theta", 10_000.0)
    first: dict[str, Any] = next((rope for rope in given.values() if rope), {})
    if theta is not None or "rope_theta" not in first:
        _check(theta, _is_positive, f"{path} has rope_theta", _POSITIVE)
    return float(first.get("rope_theta", theta))


def _check(value: object, right: Callable[[Any], bool], what: str, allowed: str) -> None:
    if not right(value):
        raise ValueError(f"{what}={_shown(value)}; it must be {allowed}")


def _is_size(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def _is_positive(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 < value <= sys.float_info.max


def _shown(value: object) -> str:
    """A value of others in an error: in full if that is short."""
    return repr(value) if not isinstance(value, int) or abs(value) < 10**30 else f"{str(value)[:20]}..."


def read_shapes(folder: Path) -> dict[str, tuple[int, ...]]:
    """Return the shapes of all weights of a checkpoint by their names; no weight is read.

    Raises:
        FileNotFoundError: the weights or a shard are missing.
        ValueError: a file is damaged, or the index names what is no file of the folder.
    """
    shapes: dict[str, tuple[int, ...]] = {}
    for path in _files(folder):
        with _told(path), safe_open(path, framework="pt") as file:
            shapes.update({name: tuple(file.get_slice(name).get_shape()) for name in file.keys()})  # noqa: SIM118
    return shapes


def read_weights(folder: Path) -> dict[str, Tensor]:
    """Return all weights of a checkpoint by their names, from one file or from shards with their index.

    Raises:
        FileNotFoundError: the weights or a shard are missing.
        ValueError: a file is damaged, or the index names what is no file of the folder.
    """
    weights: dict[str, Tensor] = {}
    for path in _files(folder):
        with _told(path):
            weights.update(load_file(path))
    return weights


def _files(folder: Path) -> list[Path]:
    if (folder / _WEIGHTS).is_file():
        return [folder / _WEIGHTS]
    index = folder / _INDEX
    if not index.is_file():
        raise FileNotFoundError(f"{folder} has no {_WEIGHTS} that is a file; {_instead(folder)}")
    places = read_json(index).get("weight_map")
    if not isinstance(places, dict) or not all(isinstance(shard, str) for shard in places.values()):
        raise ValueError(f"{index} has no weight_map from names of weights to files")
    shards = sorted({shard for shard in places.values()})
    for shard in shards:
        if Path(shard).name != shard:
            raise ValueError(f"{index} names {shard!r}, which is no file of its folder")
        if not (folder / shard).is_file():
            raise FileNotFoundError(f"{folder} lacks {shard}, which {index.name} names; download it, too")
    return [folder / shard for shard in shards]


def _instead(folder: Path) -> str:
    """What lies in a folder in place of its weights, and what to do."""
    names = sorted(path.name for path in folder.iterdir() if path.is_file()) if folder.is_dir() else []
    variants = [name for name in names if name.endswith(".safetensors")]
    if len(variants) == 1:
        return f"{variants[0]} lies there: if that is the whole model, name a copy of it {_WEIGHTS}"
    if variants:
        return (
            f"{', '.join(variants[:3])} lie there, without the {_INDEX} that names the parts of one model: get it, too"
        )
    if pickled := next((name for name in names if name.endswith((".bin", ".pt", ".pth"))), None):
        return f"{pickled} is a pickle, which is not read: where you trust it, load and save it with transformers 5"
    return "download it, or save the model there with save_pretrained"


@contextmanager
def _told(path: Path) -> Iterator[None]:
    """Say in words what a file of weights is that can't be read."""
    try:
        yield
    except SafetensorError as error:
        with path.open("rb") as file:
            start = file.read(64)
        pointer = start.startswith(b"version https://git-lfs.github.com/")
        hint = "it is a pointer of Git LFS: git lfs pull" if pointer else "it was cut off or altered: get it again"
        raise ValueError(f"{path} holds no tensors that can be read ({error}); {hint}") from None


def widest_type(weights: dict[str, Tensor], folder: Path) -> torch.dtype:
    """Return the type that holds all weights as they were saved.

    Raises:
        ValueError: one of them is quantized.
    """
    for name, weight in weights.items():
        if weight.dtype not in _TYPES:
            kind = str(weight.dtype).removeprefix("torch.")
            raise ValueError(
                f"{folder}: {name} is of type {kind}; quantized weights can't be read, only "
                + ", ".join(str(dtype).removeprefix("torch.") for dtype in _TYPES)
            )
    return functools.reduce(torch.promote_types, (weight.dtype for weight in weights.values()))
