"""The folder of an exported Llama: what stands in its files, and whether a folder may be written to.

An export may take the place of an earlier one and of nothing else. Ours are known by what others never have together:
the keys of `config.json` without a version of transformers, and a mark in the header of `model.safetensors`, which
transformers doesn't keep when it saves a model that was trained on. Exports of before 0.2.0 have the keys and no marks.
What a killed export left behind can be exported over, for each file is known by itself.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from cs336_lib.atomic import check_own, check_replaceable
from cs336_lib.bpe.formats import huggingface
from cs336_lib.model.config import ModelConfig

END_OF_TEXT = "<|endoftext|>"
TIED_LOOKUP = "cs336_tied_lookup"
"""Key of config.json that says that the two matrices are one, the looked-up rows multiplied; others ignore it."""
WEIGHTS, CONFIG, TOKENIZER, TOKENIZER_CONFIG = (
    "model.safetensors",
    "config.json",
    "tokenizer.json",
    "tokenizer_config.json",
)

_MARK = "cs336_export"
_SUM = "cs336_tokenizer_sha256"
_READ_AS_WELL = (
    *("generation_config.json", "adapter_config.json", "model.safetensors.index.json", "special_tokens_map.json"),
    *("added_tokens.json", "vocab.json", "merges.txt", "vocab.txt", "tokenizer.model", "chat_template.jinja"),
    *("chat_template.json", "additional_chat_templates"),
)
"""What transformers reads in a model's folder besides the files of an export."""


def llama_config(config: ModelConfig, dtype: str, end_of_text: int | None) -> dict[str, Any]:
    """Return the content of `config.json`."""
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "vocab_size": config.vocab_size,
        "max_position_embeddings": config.context_length,
        "hidden_size": config.d_model,
        "num_hidden_layers": config.num_layers,
        "num_attention_heads": config.num_heads,
        "num_key_value_heads": config.num_heads,
        "head_dim": config.head_dim,
        "intermediate_size": config.d_ff,
        "hidden_act": "silu",
        "attention_bias": False,
        "attention_dropout": 0.0,
        "mlp_bias": False,
        "rms_norm_eps": config.norm_eps,
        "rope_theta": config.rope_theta,  # where transformers 4 looks
        "rope_parameters": {"rope_type": "default", "rope_theta": config.rope_theta},  # where transformers 5 looks
        "tie_word_embeddings": config.tie_embeddings and config.lookup_scale == 1,
        **({TIED_LOOKUP: "scaled"} if config.lookup_scale != 1 else {}),
        "dtype": dtype,
        # Left out, they would be Llama's 1 and 2, and generation would stop at an ordinary token.
        "bos_token_id": end_of_text,
        "eos_token_id": end_of_text,
        "pad_token_id": None,
        "use_cache": True,
        _MARK: 1,
    }


def tokenizer_config(config: ModelConfig, end_of_text: int | None) -> dict[str, Any]:
    """Return the content of `tokenizer_config.json`."""
    settings: dict[str, Any] = {
        # The generic class takes tokenizer.json as it is, in every version of transformers; the one named after Llama
        # put a pre-tokenizer of its own in place of the file's before version 5.
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": config.context_length,
        "clean_up_tokenization_spaces": False,
    }
    if end_of_text is not None:
        settings.update(eos_token=END_OF_TEXT, bos_token=END_OF_TEXT)
    return settings


def weights_metadata(tokenizer_json: Path | None) -> dict[str, str]:
    """Return what the header of `model.safetensors` says: the mark of an export, and which tokenizer came along."""
    return {"format": "pt", _MARK: "1", **({_SUM: _sha256(tokenizer_json)} if tokenizer_json else {})}


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write readable JSON."""
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def check_own_export(folder: Path) -> None:
    """Raise FileExistsError if a file would be lost that no export wrote, or if one that stays would be read with it.

    Args:
        folder: where an export goes; need not be there.
    """
    if folder.exists() and not folder.is_dir():
        raise FileExistsError(f"{folder} is a file; name a folder to write the model to")
    for name in (WEIGHTS, CONFIG, TOKENIZER, TOKENIZER_CONFIG):
        check_replaceable(folder / name)
    another = "of no exported model"
    check_own(folder / CONFIG, _is_own_config, another, "folder")
    check_own(folder / WEIGHTS, _is_own_weights, another, "folder")
    check_own(folder / TOKENIZER_CONFIG, _is_own_tokenizer_config, another, "folder")
    check_own(folder / TOKENIZER, _is_own_tokenizer, another, "folder")
    for name in _READ_AS_WELL:
        if (folder / name).exists():
            raise FileExistsError(
                f"{folder / name} is of no exported model, and transformers would read it along with this one; name "
                "another folder, or move it away"
            )


def _is_own_config(path: Path) -> bool:
    fixed = set(llama_config(ModelConfig(1, 1, d_model=2, num_layers=1, num_heads=1), "float32", None)) - {_MARK}
    found = _object(path)
    return found.get("model_type") == "llama" and set(found) - {_MARK, TIED_LOOKUP} == fixed


def _is_own_weights(path: Path) -> bool:
    metadata = _metadata(path)
    if _MARK in metadata:
        return True
    config = path.with_name(CONFIG)
    before_marks = config.exists() and _is_own_config(config) and _MARK not in _object(config)
    return before_marks and metadata == {"format": "pt"}


def _is_own_tokenizer_config(path: Path) -> bool:
    found, kind = _object(path), "PreTrainedTokenizerFast"
    known = set(tokenizer_config(ModelConfig(1, 1, d_model=2, num_layers=1, num_heads=1), 0))
    return found.get("tokenizer_class") == kind and "model_max_length" in found and set(found) <= known


def _is_own_tokenizer(path: Path) -> bool:
    """It is as `Tokenizer.to_hf_json` writes one, or another's that came along with the weights beside it."""
    if huggingface.is_own(path):
        return True
    weights = path.with_name(WEIGHTS)
    metadata = _metadata(weights)
    return metadata.get(_SUM) == _sha256(path) if _MARK in metadata else weights.exists() and _is_own_weights(weights)


def _object(path: Path) -> dict[str, Any]:
    """The JSON object of a file; an empty one if it holds none."""
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))
    except (ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}


def _metadata(path: Path) -> dict[str, str]:
    try:
        with safe_open(path, framework="pt") as file:
            return file.metadata() or {}
    except (SafetensorError, OSError):
        return {}


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
