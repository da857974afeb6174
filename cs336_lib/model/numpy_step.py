"""One new token a row on a CPU: `fast_step.py` in numpy (chapter 7).

B batch, T tokens so far, D d_model, H heads, K head dim, F d_ff, V vocab.

With one token in each row a model waits for calls more than for arithmetic, and numpy's are the shorter ones, for small
products as for the addition of two rows. The table of embeddings and the cache that the model itself has filled are not
copied: a tensor and its array are one memory. This is the slow twin of `compiled_step.py`, and what computes where that
does not: few tokens, float64, heads of an odd size, a machine that has not compiled it yet.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import cache

import numpy as np
import torch
from threadpoolctl import ThreadpoolController
from torch import Tensor

from cs336_lib.model.block import TransformerBlock
from cs336_lib.model.cache import KVCache
from cs336_lib.model.ffn import SwiGLU
from cs336_lib.model.shapes import Float, Int
from cs336_lib.model.transformer import TransformerLM

Array = np.ndarray

THREADS_FROM = 100_000_000
"""Multiplications in a step from which numpy may take all threads. With two cores, a step of tales-1m (a million
weights) for sixteen rows took 2.4 ms on one thread and 3.0 on two, one of tinystories-17m for one row 5.7 and 5.6."""
COMPLEX = {np.dtype(np.float32): np.complex64, np.dtype(np.float64): np.complex128}


class NumpyStep:
    """`TransformerLM.forward` for one new token a row, on a CPU, in float32 or float64.

    It keeps copies of all matrices, as rows are multiplied by them fastest: those of queries, keys and values side by
    side, those of gate and up too. They take as much memory as the model. No weight may change while it is in use.

    Args:
        model: one that is `usable`, and that `FastStep.usable` holds for its own.

    >>> from cs336_lib.model import ModelConfig
    >>> model = TransformerLM(ModelConfig.preset("tales-1m").replace(backend="fast"))
    >>> cache = KVCache(model.config, batch_size=1)
    >>> step = NumpyStep(model)
    >>> with torch.no_grad():
    ...     prompt = model(torch.tensor([[5, 6, 7]]), cache=cache)
    ...     step.begin(cache)
    ...     logits = step(torch.tensor([8]), [3])
    ...     whole = model(torch.tensor([[5, 6, 7, 8]]))[:, -1]
    >>> logits.shape, torch.allclose(logits, whole, atol=1e-4)
    (torch.Size([1, 1024]), True)
    """

    def __init__(self, model: TransformerLM) -> None:
        self.scale = model.config.lookup_scale
        blocks = [block for block in model.layers if isinstance(block, TransformerBlock)]
        self.layers = [_Layer(block) for block in blocks]
        self.table, self.head = _array(model.token_embeddings.weight), _turned_over(model.head_weight)
        final = model.ln_final
        self.final = None if final is None else _array(final.weight)
        self.eps = 0.0 if final is None else final.eps
        rope = blocks[0].attn.rope
        self.turns: Array | None = None  # positions K/2
        if rope is not None:
            self.turns = torch.view_as_complex(rope.turns.to(model.head_weight.dtype)).numpy()
        self.weights = sum(p.numel() for block in blocks for p in block.parameters()) + model.head_weight.numel()
        self.cache: KVCache | None = None

    @staticmethod
    def usable(model: TransformerLM) -> bool:
        """Whether numpy can do a model's arithmetic: on a CPU, in float32 or float64."""
        weight = model.head_weight
        return weight.device.type == "cpu" and weight.dtype in (torch.float32, torch.float64)

    def begin(self, cache: KVCache) -> None:
        """Go on from a cache that the model has filled; steps add to it."""
        self.cache = cache
        for layer, keys, values in zip(self.layers, cache.keys, cache.values, strict=True):
            layer.keys, layer.values = keys.numpy(), values.numpy()

    def __call__(self, ids: Int[Tensor, " B"], places: Sequence[int]) -> Float[Tensor, "B V"]:
        """Add one token to each row, and return the logits of the one that follows, as `FastStep` does."""
        if self.cache is None:
            raise ValueError(
                "the step has no cache to go on from; call begin(cache) with one that the model has filled"
            )
        end = max(places) + 1
        where: Array | int = end - 1
        hidden = None
        if min(places) != where:
            where = np.array(places)
            hidden = where[:, None, None] < np.arange(end)  # B 1 T, over all heads
        turns = None if self.turns is None else self.turns[where].reshape(-1, 1, 1, self.turns.shape[1])  # B 1 1 K/2
        x = self.table[ids.numpy()]  # B D
        if self.scale != 1:
            x *= self.scale
        # exp(-gate) may be infinite, and the gate is then 0. What is no number any more is told by who draws from it.
        with _threads(len(x) * self.weights), np.errstate(over="ignore", invalid="ignore"):
            for layer in self.layers:
                x = layer(x, where, end, turns, hidden)
            self.cache.advance(1)
            return torch.from_numpy(_normed(x, self.final, self.eps) @ self.head)


def _threads(multiplications: int) -> AbstractContextManager[object]:
    """Keep numpy's products on one thread, but for steps that are large.

    A row or two read the weights and do little else, and a second core reads little faster. Where another program
    keeps a core busy, threads that wait for each other after every product took a hundred times as long as one. A
    thread beside the main one leaves the number alone: two that set and restore it at once could leave it at one.
    """
    if multiplications >= THREADS_FROM:
        return nullcontext()
    if threading.current_thread() is not threading.main_thread():
        return nullcontext()
    limited: AbstractContextManager[object] = _libraries().limit(limits=1, user_api="blas")
    return limited


@cache
def _libraries() -> ThreadpoolController:
    return ThreadpoolController()  # looks through what the process has loaded, which takes some milliseconds


def _turned_over(*weights: Tensor) -> Array:
    """Return matrices (N, D) below each other as one (D, all N): each input's weights in one piece of memory."""
    return _array(torch.cat(weights).T.contiguous())


class _Layer:
    """One block, and its part of the cache."""

    keys: Array  # B H capacity K
    values: Array

    def __init__(self, block: TransformerBlock) -> None:
        attn, ffn = block.attn, block.ffn
        self.order, self.heads = block.norm, attn.num_heads
        self.ln1, self.ln2, self.q_norm, self.k_norm = (
            None if norm is None else _array(norm.weight) for norm in (block.ln1, block.ln2, attn.q_norm, attn.k_norm)
        )
        self.eps = next((norm.eps for norm in (block.ln1, attn.q_norm) if norm is not None), 0.0)
        self.qkv = _turned_over(attn.q_proj.weight, attn.k_proj.weight, attn.v_proj.weight)  # D 3D
        self.output = _turned_over(attn.output_proj.weight)  # D D
        self.gated = isinstance(ffn, SwiGLU)
        first = (ffn.w1.weight, ffn.w3.weight) if isinstance(ffn, SwiGLU) else (ffn.w1.weight,)
        self.up = _turned_over(*first)  # D 2F, without a gate D F
        self.down = _turned_over(ffn.w2.weight)  # F D
        self.width = len(ffn.w1.weight)

    def __call__(self, x: Array, where: Array | int, end: int, turns: Array | None, hidden: Array | None) -> Array:
        """Return what leaves the block, (B, D)."""
        if self.order == "pre":
            x = x + self._mix(_normed(x, self.ln1, self.eps), where, end, turns, hidden) @ self.output
            return x + self._units(_normed(x, self.ln2, self.eps)) @ self.down
        x = x + self._mix(x, where, end, turns, hidden) @ self.output
        if self.order == "post":
            x = _normed(x, self.ln1, self.eps)
        x = x + self._units(x) @ self.down
        return _normed(x, self.ln2, self.eps) if self.order == "post" else x

    def _mix(self, x: Array, where: Array | int, end: int, turns: Array | None, hidden: Array | None) -> Array:
        """Return the mixture of values that each row's new token attends to, (B, D)."""
        qkv: Array = (x @ self.qkv).reshape(len(x), 3, self.heads, -1)  # B 3D -> B 3 H K
        if self.q_norm is not None and self.k_norm is not None:
            qkv[:, 0], qkv[:, 1] = _normed(qkv[:, 0], self.q_norm, self.eps), _normed(qkv[:, 1], self.k_norm, self.eps)
        if turns is not None:
            pairs: Array = qkv[:, :2].view(COMPLEX[qkv.dtype])  # a pair of channels is a complex number: B 2 H K/2
            pairs *= turns
        rows = slice(None) if isinstance(where, int) else np.arange(len(x))
        self.keys[rows, :, where], self.values[rows, :, where] = qkv[:, 1], qkv[:, 2]
        q = qkv[:, 0, :, :, None] * qkv.shape[-1] ** -0.5  # B H K 1
        scores = (self.keys[:, :, :end] @ q)[..., 0]  # B H T
        if hidden is not None:
            scores[np.broadcast_to(hidden, scores.shape)] = -np.inf
        scores -= np.maximum.reduce(scores, axis=-1, keepdims=True)
        np.exp(scores, out=scores)
        mixed = (scores[..., None, :] @ self.values[:, :, :end])[..., 0, :]  # B H K
        mixed /= np.add.reduce(scores, axis=-1, keepdims=True)
        return mixed.reshape(len(x), -1)

    def _units(self, x: Array) -> Array:
        """Return the hidden units of the feed-forward network, (B, F)."""
        up: Array = x @ self.up
        gate = up[:, : self.width]
        units = np.exp(-gate)
        units += 1
        np.divide(gate, units, out=units)  # silu
        if self.gated:
            units *= up[:, self.width :]
        return units


def _array(weight: Tensor) -> Array:
    return weight.detach().numpy()


def _normed(x: Array, gain: Array | None, eps: float) -> Array:
    """Return RMSNorm of the last dimension; without a gain, `x` itself."""
    if gain is None:
        return x
    mean = np.add.reduce(x * x, axis=-1, keepdims=True)
    mean /= x.shape[-1]
    mean += eps
    normed = x / np.sqrt(mean, out=mean)
    normed *= gain
    return normed
