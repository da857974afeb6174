"""To and from transformers: our model in its default form is a Llama, weight for weight (chapter 4).

D d_model, H heads, K head dim.

Names differ, and one convention: we rotate channels (2k, 2k + 1) of a head together, transformers rotates (k, k + K/2).
Reordering the rows of the query and key projections by the same rule on both sides leaves every inner product as it
was::

    ours          0 1 2 3 4 5        pairs (0 1) (2 3) (4 5)
    transformers  0 2 4 1 3 5        pairs (0 3) (1 4) (2 5), which hold the same channels

Llama reads its table as it is. A tied one whose rows we multiply by sqrt(D) is written as two matrices, the rows as
they are looked up and the head, which gives the same logits; `config.json` notes it, and reading puts them together.

The folder is what `AutoModelForCausalLM.from_pretrained` reads: `model.safetensors`, `config.json`, and with a
tokenizer `tokenizer.json` and `tokenizer_config.json`. transformers itself is needed for neither direction.
"""

from __future__ import annotations

import json
import secrets
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

import torch
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor

from cs336_lib.atomic import check_still, targets, with_usual_permissions
from cs336_lib.jsonfile import read_json
from cs336_lib.locks import make_folder
from cs336_lib.model.config import Backend, ModelConfig
from cs336_lib.model.llama_files import our_config, read_shapes, read_weights, widest_type
from cs336_lib.model.llama_folder import (
    CONFIG,
    END_OF_TEXT,
    TIED_LOOKUP,
    TOKENIZER,
    TOKENIZER_CONFIG,
    WEIGHTS,
    check_own_export,
    llama_config,
    tokenizer_config,
    weights_metadata,
    write_json,
)
from cs336_lib.model.transformer import TransformerLM

_WHOLE = {
    "token_embeddings.weight": "model.embed_tokens.weight",
    "ln_final.weight": "model.norm.weight",
    "lm_head.weight": "lm_head.weight",
}
_LAYER = {
    "attn.q_proj.weight": "self_attn.q_proj.weight",
    "attn.k_proj.weight": "self_attn.k_proj.weight",
    "attn.v_proj.weight": "self_attn.v_proj.weight",
    "attn.output_proj.weight": "self_attn.o_proj.weight",
    "ln1.weight": "input_layernorm.weight",
    "ln2.weight": "post_attention_layernorm.weight",
    "ffn.w1.weight": "mlp.gate_proj.weight",
    "ffn.w2.weight": "mlp.down_proj.weight",
    "ffn.w3.weight": "mlp.up_proj.weight",
}
_KEYS_OF_SHAPE = {
    **dict.fromkeys(("embed_tokens", "lm_head"), ("vocab_size", "hidden_size")),
    **dict.fromkeys(("norm", "input_layernorm", "post_attention_layernorm"), ("hidden_size",)),
    **dict.fromkeys(("gate_proj", "up_proj"), ("intermediate_size", "hidden_size")),
    "down_proj": ("hidden_size", "intermediate_size"),
}
"""Keys of config.json that say the shape of a weight; all others have hidden_size twice."""
_ROTATED = ("attn.q_proj.weight", "attn.k_proj.weight")


class WritesTokenizerJson(Protocol):
    """A tokenizer that can write Hugging Face's `tokenizer.json`, as `cs336_lib.bpe.Tokenizer` can."""

    def to_hf_json(self, path: Any) -> Any:
        """Write the tokenizer to `path`."""


def to_hf_llama(model: TransformerLM, folder: str | Path, tokenizer: WritesTokenizerJson | None = None) -> Path:
    """Write a model as a checkpoint that transformers opens as `LlamaForCausalLM`.

    In float32 the logits are the same up to rounding; in bfloat16 the two round at different places of a norm, which
    shows in the second or third digit.

    Every file is written under a temporary name first and all are renamed at the end, so that a full disk leaves an
    earlier export as it was. What a kill between two renames leaves may be of both, and can be exported over. Where no
    tokenizer is given, an earlier export's goes.

    Args:
        model: a pre-norm model with RoPE and SwiGLU, and without qk_norm; its weights are written in the type they
            have.
        folder: where to; made if missing.
        tokenizer: written along, if given. Its `<|endoftext|>`, if it has one, becomes the end-of-sequence token.

    Returns:
        The folder.

    Raises:
        ValueError: the model has a part that Llama has not, or the tokenizer has ids beyond the model's vocabulary.
        FileExistsError: the folder is a file, or holds what no export wrote and would be lost or be read with it, such
            as a run, a tokenizer, or a model of others. Nothing was written.

    >>> import tempfile
    >>> model = TransformerLM(ModelConfig.preset("tales-1m"))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     copy = from_hf_llama(to_hf_llama(model, folder))
    >>> torch.equal(copy.layers[0].attn.q_proj.weight, model.layers[0].attn.q_proj.weight)
    True
    """
    model = getattr(model, "_orig_mod", model)  # what torch.compile wraps
    config = model.config
    for field, needed in (("norm", "pre"), ("position", "rope"), ("ffn", "swiglu"), ("qk_norm", False)):
        if getattr(config, field) != needed:
            raise ValueError(f"Llama has {field}={needed!r}, this model has {field}={getattr(config, field)!r}")
    weights = {
        theirs: _to_halves(model.state_dict()[ours], config) if ours.endswith(_ROTATED) else model.state_dict()[ours]
        for ours, theirs in _names(config).items()
    }
    if config.lookup_scale != 1:
        table = model.token_embeddings.weight
        weights |= {"model.embed_tokens.weight": table * config.lookup_scale, "lm_head.weight": table}
    weights = _apart({name: weight.detach().cpu().contiguous() for name, weight in weights.items()})
    folder = Path(folder)
    check_own_export(folder)
    alongside = [TOKENIZER, TOKENIZER_CONFIG]
    files = [WEIGHTS, *(alongside if tokenizer is not None else []), CONFIG]
    target = targets(folder, files)
    make_folder(folder, parents=True)
    partial = {name: path.with_name(f".{name}.{secrets.token_hex(4)}.partial") for name, path in target.items()}
    try:
        end_of_text = None
        if tokenizer is not None:
            tokenizer.to_hf_json(partial[TOKENIZER])
            end_of_text = _end_of_text(partial[TOKENIZER], config.vocab_size)
            write_json(partial[TOKENIZER_CONFIG], tokenizer_config(config, end_of_text))
        dtype = str(model.head_weight.dtype).removeprefix("torch.")
        write_json(partial[CONFIG], llama_config(config, dtype, end_of_text))
        _save(weights, partial[WEIGHTS], weights_metadata(partial.get(TOKENIZER)))
        check_own_export(folder)  # weights take a while to write
        for path in target.values():
            check_still(path)
        for name in alongside if tokenizer is None else []:  # an earlier export's, which would be read with this model
            (folder / name).unlink(missing_ok=True)
        for name in files:
            partial[name].replace(target[name])
    finally:
        for path in partial.values():
            path.unlink(missing_ok=True)
    return folder


def from_hf_llama(
    folder: str | Path, *, backend: Backend = "reference", device: torch.device | str | None = None
) -> TransformerLM:
    """Read a Llama checkpoint: one that `to_hf_llama` wrote, or any that has the same architecture.

    Args:
        folder: holds `config.json` and `model.safetensors` (or shards with their index).
        backend: backend of the model.
        device: where to put it.

    Returns:
        The model, with weights in the type they were saved in; where types are mixed, in the widest. Where the config
        ties head and embeddings and the file has a head of its own that differs, the head is kept, as transformers does
        since version 5.

    Raises:
        FileNotFoundError: a file is missing. Pickled weights (`pytorch_model.bin`) are not read: unpickling runs code.
        ValueError: it is no Llama, or one with a part that ours has not, such as grouped-query attention; or a file is
            damaged. The error names the file.
    """
    folder = Path(folder)
    if not (folder / "config.json").is_file():
        raise FileNotFoundError(f"{folder} has no config.json; is it the folder of a checkpoint?")
    theirs = read_json(folder / "config.json")
    config = our_config(theirs, folder / "config.json", backend)
    _check_fits(config, read_shapes(folder), folder)
    weights = read_weights(folder)
    config = _with_own_head(config, weights, folder)
    if theirs.get(TIED_LOOKUP) == "scaled":
        config, weights = _tied_again(config, weights)
    names = _names(config)
    dtype = widest_type({name: weights[name] for name in names.values()}, folder)
    model = TransformerLM(config, device=device, dtype=dtype)
    model.load_state_dict(
        {
            ours: _to_pairs(weights[name], config) if ours.endswith(_ROTATED) else weights[name]
            for ours, name in names.items()
        }
    )
    return model


def _check_fits(config: ModelConfig, shapes: dict[str, tuple[int, ...]], folder: Path) -> None:
    """Raise ValueError unless the weights of a checkpoint are those of its config; no model is built for this.

    Args:
        config: what `config.json` says.
        shapes: of all weights, by transformers' names.
        folder: of the checkpoint, for errors.
    """
    there = len({name.split(".")[2] for name in shapes if name.startswith("model.layers.")})
    names = dict.fromkeys(_names(config.replace(num_layers=min(config.num_layers, there + 1))).values())
    spare = {"lm_head.weight"} if config.tie_embeddings else set()
    missing = sorted(names.keys() - shapes.keys())
    unknown = sorted(name for name in shapes.keys() - names.keys() - spare if not name.endswith("rotary_emb.inv_freq"))
    if missing or unknown:
        said = f"num_hidden_layers={config.num_layers}, tie_word_embeddings={config.tie_embeddings}"
        raise ValueError(
            f"{folder} is not the Llama its config.json describes ({said}): missing {missing}, unknown {unknown}"
        )
    sizes = {"vocab_size": config.vocab_size, "hidden_size": config.d_model, "intermediate_size": config.d_ff}
    for name in (name for name in (*names, *spare) if name in shapes):
        keys = _KEYS_OF_SHAPE.get(name.split(".")[-2], ("hidden_size", "hidden_size"))
        wanted = tuple(sizes[key] for key in keys)
        if shapes[name] != wanted:
            said = ", ".join(f"{key}={sizes[key]}" for key in dict.fromkeys(keys))
            raise ValueError(
                f"{folder}: {name} has the shape {shapes[name]}, and its config.json makes that {wanted}: {said}"
            )


def _apart(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Copy tensors that share memory, such as weights that two layers share: safetensors refuses those."""
    seen: set[int] = set()
    for name, weight in weights.items():
        if weight.untyped_storage().data_ptr() in seen:
            weights[name] = weight.clone()
        seen.add(weight.untyped_storage().data_ptr())
    return weights


def _save(weights: dict[str, Tensor], path: Path, metadata: dict[str, str]) -> None:
    """Write weights; the same make the same bytes, although safetensors puts what a header says in any order."""
    try:
        with with_usual_permissions(path):
            save_file(weights, path, metadata=metadata)
    except SafetensorError as error:  # its way to say that the disk is full
        raise OSError(f"{path} could not be written: {error}") from None
    with path.open("r+b") as file:
        size = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(size))
        header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
        file.seek(8)
        file.write(json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode().ljust(size))


def _with_own_head(config: ModelConfig, weights: dict[str, Tensor], folder: Path) -> ModelConfig:
    """Untie the head where the file has one that differs from the embeddings."""
    head, embedding = weights.get("lm_head.weight"), weights.get("model.embed_tokens.weight")
    if not config.tie_embeddings or head is None or embedding is None or torch.equal(head, embedding):
        return config
    warnings.warn(
        f"{folder}: config.json ties the head to the embeddings, but lm_head.weight differs from them; it is kept, and "
        "the model is not tied",
        stacklevel=3,
    )
    return config.replace(tie_embeddings=False, tied_lookup="scaled")


def _names(config: ModelConfig) -> dict[str, str]:
    """Return our name of each weight, with theirs."""
    names = {ours: theirs for ours, theirs in _WHOLE.items() if ours != "lm_head.weight" or not config.tie_embeddings}
    for n in range(config.num_layers):
        names.update({f"layers.{n}.{ours}": f"model.layers.{n}.{theirs}" for ours, theirs in _LAYER.items()})
    return names


def _tied_again(config: ModelConfig, weights: dict[str, Tensor]) -> tuple[ModelConfig, dict[str, Tensor]]:
    """Put the two matrices of a scaled tied table together, unless training has moved them apart since."""
    tied = replace(config, tie_embeddings=True, tied_lookup="scaled")
    rows, head = weights.get("model.embed_tokens.weight"), weights.get("lm_head.weight")
    if rows is None or head is None or not torch.equal(rows, head * tied.lookup_scale):
        return config, weights
    return tied, {**weights, "model.embed_tokens.weight": head}


def _to_halves(weight: Tensor, config: ModelConfig) -> Tensor:
    """Put each head's even rows before its odd ones: (H K/2 2) D -> (H 2 K/2) D."""
    return weight.unflatten(0, (config.num_heads, -1, 2)).transpose(1, 2).flatten(0, 2)


def _to_pairs(weight: Tensor, config: ModelConfig) -> Tensor:
    """Undo `_to_halves`: (H 2 K/2) D -> (H K/2 2) D."""
    return weight.unflatten(0, (config.num_heads, 2, -1)).transpose(1, 2).flatten(0, 2)


def _end_of_text(tokenizer_json: Path, vocab_size: int) -> int | None:
    """Return the id of `<|endoftext|>`, after a check that all ids fit the model."""
    content = json.loads(tokenizer_json.read_text(encoding="utf-8"))
    special = {token["content"]: token["id"] for token in content.get("added_tokens", [])}
    largest = max([*content["model"]["vocab"].values(), *special.values()])
    if largest >= vocab_size:
        raise ValueError(f"the tokenizer has ids up to {largest}, the model's vocab_size is {vocab_size}")
    return special.get(END_OF_TEXT, content["model"]["vocab"].get(END_OF_TEXT))
