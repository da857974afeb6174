"""Make what the instruments keep in cs336_lib/figures/instruments/data, once: GPT-2's merges and a small model.

    python tools/instrument_data.py gpt2 vocab.bpe     the file that OpenAI published with GPT-2 (MIT license)
    python tools/instrument_data.py model runs/tales-1m    a finished run of `cs336 train tales-1m`

The merges are stored as pairs of ids and checked against the published sum. The model's weights are stored as whole
numbers of 8 bits times a scale for each row, and its validation loss is measured with them.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from pathlib import Path

import numpy as np
import torch

from cs336_lib.figures.instruments.data import STORED, gpt2_byte_ids
from cs336_lib.model import TransformerLM
from cs336_lib.training import RunRecord, cross_entropy, evaluate, prepare

VOCAB_BPE_SHA256 = "1ce1664773c50f3e0cc8842619a93edc4624525b728b188a9e0be33b7726adc5"


def gpt2(path: Path) -> int:
    """Store the merges of the published `vocab.bpe`."""
    content = path.read_bytes()
    if hashlib.sha256(content).hexdigest() != VOCAB_BPE_SHA256:
        print(f"error: {path} is not GPT-2's published vocab.bpe (its SHA-256 differs)", file=sys.stderr)
        return 1
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    order = printable + [byte for byte in range(256) if byte not in set(printable)]
    spelled = [chr(byte) for byte in printable] + [chr(0x100 + n) for n in range(256 - len(printable))]
    assert [order.index(byte) for byte in range(256)] == gpt2_byte_ids()
    ids = {text: i for i, text in enumerate(spelled)}
    pairs = []
    for line in content.decode().split("\n")[1:-1]:
        left, right = line.split()
        pairs.append((ids[left], ids[right]))
        ids[left + right] = len(ids)
    (STORED / "gpt2-merges.bin").write_bytes(np.array(pairs, "<u2").tobytes())
    print(f"{len(pairs):,} merges")
    return 0


def quantized(weight: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Return a matrix (or vector, as one row) as 8-bit whole numbers and a float32 scale for each row."""
    rows = weight.detach().float().reshape(-1, weight.shape[-1])
    scales = rows.abs().amax(dim=1).clamp_min(1e-12) / 127
    return (rows / scales[:, None]).round().to(torch.int8).numpy(), scales.numpy().astype("<f4")


def model(folder: Path) -> int:
    """Store the weights of a finished run."""
    from safetensors.torch import load_file

    record = RunRecord(folder)
    (weights,) = sorted((folder / "checkpoints").glob("*/model.safetensors"))[-1:]
    state = load_file(weights)
    shapes, numbers, scales, restored = [], [], [], {}
    for name in sorted(state):
        values, scale = quantized(state[name])
        shapes.append([name, *values.shape])
        numbers.append(values.tobytes())
        scales.append(scale.tobytes())
        restored[name] = torch.from_numpy(values * scale[:, None]).reshape(state[name].shape)
    lm = TransformerLM(record.config.model)
    corpus = prepare(record.config)
    losses = []
    for each in (state, restored):
        lm.load_state_dict(each)
        found = evaluate(lambda x, y: cross_entropy(lm(x), y), corpus.valid, lm.config.context_length, windows=64)
        losses.append(found.loss)
    config = {**record.config.model.to_dict(), "backend": "reference"}
    about = {"run": record.config.name, "valid_loss": losses[1], "valid_loss_float32": losses[0]}
    (STORED / "model.bin").write_bytes(b"".join(numbers) + b"".join(scales))
    (STORED / "model.json").write_text(json.dumps({"config": config, "about": about, "shapes": shapes}) + "\n")
    print(f"{sum(map(len, numbers)):,} weights; validation loss {losses[0]:.4f} in float32, {losses[1]:.4f} in 8 bits")
    return 0


def main() -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=("gpt2", "model"))
    parser.add_argument("source", type=Path, help="vocab.bpe, or the folder of a run")
    arguments = parser.parse_args()
    STORED.mkdir(exist_ok=True)
    return {"gpt2": gpt2, "model": model}[arguments.what](arguments.source)


if __name__ == "__main__":
    sys.exit(main())
