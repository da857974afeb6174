"""What a folder of a Llama checkpoint says, checked: its config as ours, its weights, and their type.

Files of others come in all states. Each error names the file, and the key or the tensor.
"""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from cs336_lib.jsonfile import read_json
from cs336_lib.model.config import Backend, ModelConfig

_TYPES = (torch.float32, torch.bfloat16, torch.float16, torch.float64)
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
        if isinstance(theirs[key], bool) or not isinstance(theirs[key], int) or theirs[key] < 1:
            raise ValueError(f"{path} has {key}={theirs[key]!r}; it must be a whole number, 1 or more")
    heads, width = theirs["num_attention_heads"], theirs["hidden_size"]
    theta = _rope_theta(theirs, path)
    for key, ours, found in (
        ("num_key_value_heads", heads, theirs.get("num_key_value_heads") or heads),
        ("head_dim", width // heads, theirs.get("head_dim") or width // heads),
        ("hidden_act", "silu", theirs.get("hidden_act", "silu")),
        ("attention_bias", False, theirs.get("attention_bias", False)),
        ("mlp_bias", False, theirs.get("mlp_bias", False)),
    ):
        if found != ours:
            raise ValueError(f"{path} has {key}={found!r}; this model has {ours!r} and nothing else")
    tied = bool(theirs.get("tie_word_embeddings", False))
    try:
        return ModelConfig(
            vocab_size=theirs["vocab_size"],
            context_length=theirs["max_position_embeddings"],
            d_model=width,
            num_layers=theirs["num_hidden_layers"],
            num_heads=heads,
            d_ff=theirs["intermediate_size"],
            rope_theta=theta,
            norm_eps=theirs.get("rms_norm_eps", 1e-6),  # Llama's own default
            tie_embeddings=tied,
            tied_lookup="plain" if tied else "scaled",
            backend=backend,
        )
    except (ValueError, TypeError) as error:
        raise ValueError(f"{path}: {error}") from None


def _rope_theta(theirs: dict[str, Any], path: Path) -> float:
    """The base of the rotations, after a look at whether they are the plain ones."""
    given = {key: theirs[key] for key in ("rope_scaling", "rope_parameters") if theirs.get(key)}
    for key, rope in given.items():
        if not isinstance(rope, dict):
            raise ValueError(f"{path} has {key}={rope!r}; it must be an object")
        kind = rope.get("rope_type", rope.get("type", "default"))
        if kind != "default":
            raise ValueError(f"{path} has rope_type={kind!r} in {key}; this model has 'default' and nothing else")
    bases = {key: rope["rope_theta"] for key, rope in given.items() if "rope_theta" in rope}
    if len(set(bases.values())) > 1:
        raise ValueError(f"{path} has two values of rope_theta, {bases}; remove one of the two objects")
    theta = next(iter(bases.values()), theirs.get("rope_theta", 10_000.0))
    if isinstance(theta, bool) or not isinstance(theta, int | float) or not theta > 0:
        raise ValueError(f"{path} has rope_theta={theta!r}; it must be a number above 0")
    return float(theta)


def read_weights(folder: Path) -> dict[str, Tensor]:
    """Return all weights of a checkpoint by their names, from one file or from shards with their index.

    Raises:
        FileNotFoundError: the weights or a shard are missing.
        ValueError: a file is damaged, or the index names what is no file of the folder.
    """
    if (folder / "model.safetensors").is_file():
        return _load(folder / "model.safetensors")
    index = folder / "model.safetensors.index.json"
    if not index.is_file():
        raise FileNotFoundError(f"{folder} has no model.safetensors; save it with safe_serialization=True")
    places = read_json(index).get("weight_map")
    if not isinstance(places, dict) or not all(isinstance(shard, str) for shard in places.values()):
        raise ValueError(f"{index} has no weight_map from names of weights to files")
    shards = sorted({shard for shard in places.values()})
    for shard in shards:
        if Path(shard).name != shard:
            raise ValueError(f"{index} names {shard!r}, which is no file of its folder")
        if not (folder / shard).is_file():
            raise FileNotFoundError(f"{folder} lacks {shard}, which {index.name} names; download it, too")
    return {name: weight for shard in shards for name, weight in _load(folder / shard).items()}


def _load(path: Path) -> dict[str, Tensor]:
    try:
        return load_file(path)
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
