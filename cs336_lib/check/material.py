"""What both sides train on and are timed with: built-in stories, a vocabulary, first weights, starts of windows."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

import cs336_lib
from cs336_lib.bpe import Tokenizer, train_bpe
from cs336_lib.check.project import Project
from cs336_lib.data import tales
from cs336_lib.model import ModelConfig, TransformerLM

END = "<|endoftext|>"
VOCAB, SEED = 512, 0


@dataclass
class Material:
    """Files in a folder, and what a job says about them.

    Attributes:
        folder: holds train.npy, valid.npy, starts.npy and weights.pt.
        tokenizer: that made the ids.
        job: the part of a job that names them.
    """

    folder: Path
    tokenizer: Tokenizer
    job: dict[str, Any]


def prepare(folder: Path, shape: dict[str, Any], steps: int, batch: int, size: int = 600_000) -> Material:
    """Write the material of a run.

    Args:
        folder: an empty folder.
        shape: of the model, without its vocabulary.
        steps: batches to draw starts for.
        batch: rows of a batch.
        size: bytes of text to train on.
    """
    train, valid = folder / "large.txt", folder / "valid.txt"
    tales.write(train, size, SEED)
    tales.write(valid, 60_000, SEED, split="valid")
    result = train_bpe(train, VOCAB, [END])
    tokenizer = Tokenizer(result.vocab, result.merges, [END])
    ids = tokenizer.encode_to_array(train.read_bytes())
    np.save(folder / "train.npy", ids.astype(np.uint16))
    np.save(folder / "valid.npy", tokenizer.encode_to_array(valid.read_bytes()).astype(np.uint16))
    rng = np.random.default_rng(SEED)
    np.save(folder / "starts.npy", rng.integers(0, len(ids) - shape["context_length"], (steps, batch)))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEED)
        config = ModelConfig(vocab_size=tokenizer.vocab_size, **shape)
        torch.save(TransformerLM(config).state_dict(), folder / "weights.pt")
    model = {"vocab_size": tokenizer.vocab_size, **shape, "rope_theta": config.rope_theta}
    return Material(folder, tokenizer, {"files": str(folder), "model": model})


def ours() -> Project:
    """This library, as a project to be run beside the reader's."""
    package = Path(cs336_lib.__file__).parent
    return Project(package.parent, package / "check/ours/adapters.py", sys.executable)
