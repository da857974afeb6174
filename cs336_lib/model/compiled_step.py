"""One new token a row on a CPU, compiled: the whole step is one call of `kernels.take_step` (chapter 7).

B batch, D d_model, H heads, K head dim, F d_ff, V vocab; V16 is V rounded up to sixteens.

A step over one row should take as long as reading the weights once. numpy stays behind that with a large model, and
with a small one waits for calls. Here the weights lie in memory in the order in which they are read, and a step calls
nothing in between.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from torch import Tensor

from cs336_lib.model import step_layout as at
from cs336_lib.model.block import TransformerBlock
from cs336_lib.model.cache import KVCache
from cs336_lib.model.ffn import SwiGLU
from cs336_lib.model.layers import RMSNorm
from cs336_lib.model.numpy_step import THREADS_FROM
from cs336_lib.model.shapes import Float, Int
from cs336_lib.model.step_layout import LANES
from cs336_lib.model.transformer import TransformerLM
from cs336_lib.native.library import KernelLibrary

Array = np.ndarray

STEP = KernelLibrary(
    "step",
    (
        "cs336_lib.model.kernels",
        "cs336_lib.model.step_layout",
        "cs336_lib.native.lanes",
        "cs336_lib.native.types",
    ),
)

SHARED_FROM = 10_000_000
"""Multiplications in a step from which on threads share its rows: these take longer than waking one, some 50 us."""
ROWS_EACH = 4
"""Rows that a thread has at least: as many are multiplied by each weight that is read, and reading is shared badly."""
WORTH_LOADING = 200_000_000
"""Multiplications from which on loading the kernel, some 50 ms, is made up for."""
WORTH_COMPILING = 5_000_000_000
"""Multiplications by numpy in one process, about a second, after which another process compiles the kernel."""

_by_numpy = 0


class CompiledStep:
    """`TransformerLM.forward` for one new token a row, on a CPU, in float32.

    It keeps a copy of all matrices and gains in an order of its own, which takes as much memory as the model; the
    table of embeddings and the cache that the model itself has filled are not copied. No weight may change while it is
    in use. A row's logits are the same to the last bit, whatever rows stand beside it and however many threads there
    are.

    Args:
        model: one that is `usable`, and that `FastStep.usable` holds for its own.

    >>> from cs336_lib.model import ModelConfig
    >>> model = TransformerLM(ModelConfig.preset("tales-1m").replace(backend="fast"))
    >>> cache = KVCache(model.config, batch_size=1)
    >>> step = CompiledStep(model)
    >>> with torch.no_grad():
    ...     prompt = model(torch.tensor([[5, 6, 7]]), cache=cache)
    ...     step.begin(cache)
    ...     logits = step(torch.tensor([8]), [3])
    ...     whole = model(torch.tensor([[5, 6, 7, 8]]))[:, -1]
    >>> logits.shape, torch.allclose(logits, whole, atol=1e-4)
    (torch.Size([1, 1024]), True)
    """

    def __init__(self, model: TransformerLM) -> None:
        self.model = model
        config = model.config
        blocks = [block for block in model.layers if isinstance(block, TransformerBlock)]
        memory = _Memory()
        plan = np.full(at.LAYER + len(blocks) * at.LAYER_SIZE, -1, np.int64)
        for number, block in enumerate(blocks):
            here = plan[at.LAYER + number * at.LAYER_SIZE :]
            attn, ffn = block.attn, block.ffn
            gains = {at.LN1: block.ln1, at.LN2: block.ln2, at.Q_NORM: attn.q_norm, at.K_NORM: attn.k_norm}
            for place, norm in gains.items():
                here[place] = -1 if norm is None else memory.gain(norm.weight)
            here[at.QKV] = memory.matrix(attn.q_proj.weight, attn.k_proj.weight, attn.v_proj.weight)
            here[at.OUTPUT] = memory.matrix(attn.output_proj.weight)
            first = (ffn.w1.weight, ffn.w3.weight) if isinstance(ffn, SwiGLU) else (ffn.w1.weight,)
            here[at.UP], here[at.DOWN] = memory.matrix(*first), memory.matrix(ffn.w2.weight)
        if model.ln_final is not None:
            plan[at.FINAL] = memory.gain(model.ln_final.weight)
        plan[at.OUT] = memory.matrix(model.head_weight)
        rope = blocks[0].attn.rope
        D, H, units = config.d_model, config.num_heads, len(blocks[0].ffn.w1.weight)
        plan[at.LAYERS], plan[at.WIDTH], plan[at.HEADS], plan[at.HEAD] = len(blocks), D, H, D // H
        plan[at.UNITS], plan[at.VOCAB] = units, config.vocab_size
        plan[at.GATED], plan[at.TURNED] = isinstance(blocks[0].ffn, SwiGLU), rope is not None
        plan[at.ORDER] = {"pre": at.PRE, "post": at.POST, "none": at.NO_NORM}[blocks[0].norm]
        self.plan, self.weights = plan, memory.filled()
        self.turns = np.zeros(1, np.float32) if rope is None else _array(rope.turns.to(torch.float32))
        self.numbers = np.array([config.lookup_scale, _eps(model), (D // H) ** -0.5], np.float32)
        self.cost = len(self.weights)
        self.helpers: ThreadPoolExecutor | None = None
        self.cache: KVCache | None = None

    @staticmethod
    def usable(model: TransformerLM) -> bool:
        """Whether the kernel knows a model: on a CPU, in float32, with heads of whole sixteens of channels.

        All blocks must be as the configuration says, which one that was put in place of another need not be.
        """
        weight, config = model.head_weight, model.config
        if weight.device.type != "cpu" or weight.dtype != torch.float32 or config.head_dim % LANES:
            return False
        blocks = [layer for layer in model.layers if isinstance(layer, TransformerBlock)]
        alike = all((block.norm, block.attn.num_heads) == (config.norm, config.num_heads) for block in blocks)
        turned = {() if block.attn.rope is None else tuple(block.attn.rope.turns.shape) for block in blocks}
        table = (config.context_length, config.head_dim // 2, 2) if config.position == "rope" else ()
        return alike and turned == {table} and _shapes(model) == _shapes(TransformerLM(config, device="meta"))

    @staticmethod
    def is_worth_it(model: TransformerLM, rows: int, tokens: int) -> bool:
        """Whether so many tokens in each of so many rows are to be computed compiled.

        They must be many enough, the model usable, and the kernel there. Nobody waits for the compiler: where the
        kernel is missing, another process compiles it as soon as this one has computed enough without it, for who comes
        later. Few rows of a large model are read by one thread here, and by all in numpy: with more than two, they are
        left to numpy.
        """
        global _by_numpy
        weights, threads = sum(weight.numel() for weight in model.parameters()), torch.get_num_threads()
        if weights >= THREADS_FROM and threads > max(2, rows // ROWS_EACH):
            return False
        multiplications = rows * tokens * weights
        if multiplications < WORTH_LOADING or not CompiledStep.usable(model):
            return False
        if STEP.is_ready():
            return True
        _by_numpy += multiplications
        if _by_numpy >= WORTH_COMPILING:
            STEP.prepare()
        return False

    def begin(self, cache: KVCache) -> None:
        """Go on from a cache that the model has filled; steps add to it."""
        rows, plan = cache.keys.shape[1], self.plan
        plan[at.ROWS], plan[at.CAPACITY] = rows, cache.capacity
        ups = _rounded((2 if plan[at.GATED] else 1) * int(plan[at.UNITS]))
        plan[at.WORK] = _rounded(6 * int(plan[at.WIDTH]) + ups + cache.capacity)
        self.work = np.zeros((rows, plan[at.WORK]), np.float32)
        self.cache, self.keys, self.values = cache, cache.keys.numpy(), cache.values.numpy()
        self.table = _array(self.model.token_embeddings.weight)
        arrays = self.weights, plan, self.numbers, self.table, self.turns, self.keys, self.values
        self.addresses = [array.ctypes.data for array in arrays]
        self.kernel = STEP.by_address("take_step")

    def __call__(self, ids: Int[Tensor, " B"], places: Sequence[int]) -> Float[Tensor, "B V"]:
        """Add one token to each row, and return the logits of the one that follows, as `FastStep` does."""
        if self.cache is None:
            raise ValueError(
                "the step has no cache to go on from; call begin(cache) with one that the model has filled"
            )
        B, V = len(ids), self.model.config.vocab_size
        tokens, where = np.ascontiguousarray(ids.numpy()), np.array(places, np.int64)
        self._check(tokens.tolist(), places)
        logits = np.empty((B, _rounded(V)), np.float32)

        given = *self.addresses, tokens.ctypes.data, where.ctypes.data, self.work.ctypes.data, logits.ctypes.data

        def take(first: int, last: int) -> None:
            self.kernel(*given, first, last)

        groups = min(torch.get_num_threads(), B // ROWS_EACH) if B * self.cost >= SHARED_FROM else 1
        if groups < 2:
            take(0, B)
        else:
            if self.helpers is None:
                self.helpers = ThreadPoolExecutor(torch.get_num_threads() - 1, "cs336_lib-step")
            ends = [B * group // groups for group in range(groups + 1)]
            others = [self.helpers.submit(take, ends[group], ends[group + 1]) for group in range(1, groups)]
            take(0, ends[1])
            for other in others:
                other.result()
        self.cache.advance(1)
        return torch.from_numpy(logits[:, :V])

    def _check(self, ids: Sequence[int], places: Sequence[int]) -> None:
        """The kernel looks at no index twice."""
        V, rows, capacity = self.model.config.vocab_size, len(self.work), int(self.plan[at.CAPACITY])
        if not len(ids) == len(places) == rows:
            raise ValueError(f"the cache has {rows} rows, and there are {len(ids)} tokens and {len(places)} places")
        if min(*ids, *places) < 0 or max(ids) >= V or max(places) >= capacity:
            raise IndexError(f"ids {list(ids)} must be below {V}, and places {list(places)} below {capacity}")


class _Memory:
    """Weights one after the other, as the kernel reads them."""

    def __init__(self) -> None:
        self.pieces: list[tuple[int, tuple[Tensor, ...]]] = []
        self.size = 0

    def gain(self, weight: Float[Tensor, " D"]) -> int:
        """Return where a gain will be."""
        return self._place(weight.numel(), weight)

    def matrix(self, *weights: Float[Tensor, "N D"]) -> int:
        """Return where matrices below each other will be, as one of (N16 / 16, D, 16)."""
        return self._place(_rounded(sum(map(len, weights))) * weights[0].shape[1], *weights)

    def _place(self, size: int, *weights: Tensor) -> int:
        self.pieces.append((self.size, weights))
        self.size += size
        return self.pieces[-1][0]

    def filled(self) -> Array:
        """Return all of them; torch's threads share the copying."""
        array = np.zeros(self.size, np.float32)  # numpy asks for large pages, which are read faster
        memory = torch.from_numpy(array)
        for begin, weights in self.pieces:
            if weights[0].ndim == 1:
                memory[begin : begin + len(weights[0])] = weights[0]
                continue
            D, row = weights[0].shape[1], 0
            blocks = memory[begin : begin + _rounded(sum(map(len, weights))) * D].view(-1, D, LANES)
            for weight in weights:  # whole blocks at once where they begin on a sixteen, as nearly all do
                whole = len(weight) // LANES * LANES if row % LANES == 0 else 0
                blocks[row // LANES : (row + whole) // LANES] = weight[:whole].reshape(-1, LANES, D).transpose(1, 2)
                for i in range(whole, len(weight)):
                    blocks[(row + i) // LANES, :, (row + i) % LANES] = weight[i]
                row += len(weight)
        return array


def _shapes(model: TransformerLM) -> dict[str, torch.Size]:
    return {name: weight.shape for name, weight in model.named_parameters(remove_duplicate=False)}


def _array(weight: Tensor) -> Array:
    return weight.detach().contiguous().numpy()


def _eps(model: TransformerLM) -> float:
    """Return the epsilon of the model's norms, which is one."""
    return next((part.eps for part in model.modules() if isinstance(part, RMSNorm)), 0.0)


def _rounded(count: int) -> int:
    return -(-count // LANES) * LANES
