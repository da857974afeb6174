"""Batches of windows from one long row of ids: drawn at random, or each once an epoch (chapter 3).

::

    ids      t0 t1 t2 t3 t4 t5 t6 ...          a window at place p is the S + 1 ids from p on:
    x[b]     tp  tp+1 ... tp+S-1               what the model sees
    y[b]     tp+1 tp+2 ... tp+S                what it is to say, one place further

Shapes: B batch, S sequence (context length). Ids come as a `TokenFile`, a numpy array, or a torch tensor - on the
accelerator, too: `resident` puts all of them there once, and no batch crosses the bus again.

Data-parallel ranks need no coordination. Each computes the same global order and takes its own slice of it, so ranks 0
to W - 1 with B rows each read, together and in order, what a single process reads with B * W rows.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.lib.stride_tricks import sliding_window_view
from torch import Tensor

from cs336_lib.data.tokens import TokenFile
from cs336_lib.naming import LARGEST, check_whole
from cs336_lib.plain import said

Ids = TokenFile | np.ndarray | Tensor
Device = str | torch.device

_CHUNK = 1 << 24
# torch can store these, but few of its kernels take them: they are read as their signed twins, then masked.
_UNSIGNED = {
    torch.uint16: (torch.int16, 0xFFFF),
    torch.uint32: (torch.int32, 0xFFFF_FFFF),
    torch.uint64: (torch.int64, -1),
}


def sample_batch(
    tokens: Ids,
    batch_size: int,
    context_length: int,
    device: Device,
    generator: torch.Generator | None = None,
    *,
    rank: int = 0,
    world_size: int = 1,
) -> tuple[Tensor, Tensor]:
    """Draw windows uniformly, with replacement (CS336 assignment 1, problem data_loading).

    Args:
        tokens: all ids, in order: a `TokenFile`, or a flat array or tensor of integers.
        batch_size: B, rows that this process gets.
        context_length: S, ids in a row.
        device: where the batch goes: "cpu", "cuda:0", ...
        generator: decides what is drawn; torch's default one if None. A generator on the accelerator draws there.
        rank: this process among `world_size` of them, all with generators in the same state.
        world_size: number of processes.

    Returns:
        x and y, each (B, S) int64 on `device`: y is x one id further on.

    Raises:
        ValueError: there are fewer than S + 1 ids, or a number is out of range.
        TypeError: `tokens` is none of the above.

    >>> x, y = sample_batch(np.arange(100), 2, 4, "cpu", torch.Generator().manual_seed(0))
    >>> x.shape, bool((y == x + 1).all())
    (torch.Size([2, 4]), True)
    """
    ids = _flat(tokens)
    batch_size, context_length, rank, world_size = _checked(ids, batch_size, context_length, rank, world_size)
    places = torch.randint(
        len(ids) - context_length,
        (batch_size * world_size,),
        generator=generator,
        device=generator.device if generator is not None else "cpu",
    )
    return _windows(ids, places[rank * batch_size : (rank + 1) * batch_size], context_length, torch.device(device))


def resident(tokens: Ids, device: Device) -> Tensor:
    """Copy all ids to a device once, in the type they are stored in: 2 bytes per id for most vocabularies.

    Args:
        tokens: as `sample_batch` takes them.
        device: where to.

    Returns:
        (number of tokens,) tensor, which `sample_batch` and `EpochSampler` take in place of `tokens`. They give the
        same batches from it.

    >>> ids = resident(np.array([7, 8, 65_535], dtype=np.uint16), "cpu")
    >>> ids.dtype, ids.nbytes
    (torch.uint16, 6)
    >>> sample_batch(ids, 1, 2, "cpu")
    (tensor([[7, 8]]), tensor([[    8, 65535]]))
    """
    ids = _flat(tokens)
    if isinstance(ids, Tensor):
        return ids.to(device)
    native = ids.dtype.newbyteorder("=")
    dtype = torch.from_numpy(np.empty(0, native)).dtype
    out = torch.empty(len(ids), dtype=dtype, device=device)
    target = out.view(_UNSIGNED[dtype][0]) if dtype in _UNSIGNED else out
    for at in range(0, len(ids), _CHUNK):
        chunk = ids[at : at + _CHUNK].astype(native)
        signed = chunk.view(f"i{native.itemsize}") if dtype in _UNSIGNED else chunk
        target[at : at + _CHUNK] = torch.from_numpy(signed)
    return out


class EpochSampler:
    """Every window once an epoch, in an order that depends on the seed and the epoch alone.

    The row of ids is cut into windows side by side, so that each id but the first is a target once an epoch; up to
    S - 1 ids at the two ends are left over, others in each epoch. A batch that reaches over the end of an epoch goes on
    with the next one, so all batches are full and no window is left out.

    Args:
        tokens: as `sample_batch` takes them.
        batch_size: B, rows that this process gets from each call of `next`.
        context_length: S, ids in a row.
        seed: decides the order.
        rank: this process among `world_size` of them.
        world_size: number of processes. Ranks read disjoint windows; together, those of a single process that has
            `batch_size * world_size` rows.

    Raises:
        ValueError: there are fewer than S + 1 ids, or a number is out of range.

    Attributes:
        windows: number of windows in an epoch.
        epoch: epochs finished, by all ranks together.
        position: windows used of the current epoch, by all ranks together.

    >>> sampler = EpochSampler(np.arange(9), batch_size=2, context_length=2, seed=3)
    >>> sorted(sampler.next("cpu")[0].tolist() + sampler.next("cpu")[0].tolist())
    [[0, 1], [2, 3], [4, 5], [6, 7]]
    >>> sampler.epoch, sampler.position
    (1, 0)
    """

    def __init__(
        self,
        tokens: Ids,
        batch_size: int,
        context_length: int,
        *,
        seed: int = 0,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        self._ids = _flat(tokens)
        numbers = _checked(self._ids, batch_size, context_length, rank, world_size)
        self.batch_size, self.context_length, self.rank, self.world_size = numbers
        self.seed = check_whole("seed", seed, least=-LARGEST)
        if self.seed < 0:
            raise ValueError(f"seed={seed} must be 0 or more")
        self.windows = (len(self._ids) - 1) // self.context_length
        self.epoch, self.position = 0, 0
        self._hash = tokens.header.payload_sha256 if isinstance(tokens, TokenFile) and tokens.header else None
        self._order: tuple[tuple[int, int], np.ndarray] | None = None

    def next(self, device: Device) -> tuple[Tensor, Tensor]:
        """The next batch of this rank.

        Args:
            device: where the batch goes.

        Returns:
            x and y, each (B, S) int64: y is x one id further on.
        """
        places = self._take(self.batch_size * self.world_size)
        mine = places[self.rank * self.batch_size : (self.rank + 1) * self.batch_size]
        return _windows(self._ids, torch.from_numpy(mine), self.context_length, torch.device(device))

    def state_dict(self) -> dict[str, Any]:
        """Where the sampler stands: plain numbers, ready for JSON, and the same on every rank."""
        return {
            "seed": self.seed,
            "epoch": self.epoch,
            "position": self.position,
            "tokens": len(self._ids),
            "context_length": self.context_length,
            "payload_sha256": self._hash,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on where another sampler stood; batch size and number of ranks may differ from then.

        Raises:
            ValueError: the state is of other ids or another context length, or no state at all.
            TypeError: a place in it is no whole number.
        """
        own = self.state_dict()
        if not isinstance(state, dict) or state.keys() != own.keys():
            found = (", ".join(map(str, state)) or "nothing") if isinstance(state, dict) else said(state)
            raise ValueError(f"a sampler's state has {', '.join(own)}; this has {found}")
        for name in ("tokens", "context_length", "payload_sha256"):
            if state[name] != own[name] and None not in (state[name], own[name]):
                raise ValueError(
                    f"the saved sampler had {name}={state[name]!r}, and this one has {own[name]!r}; "
                    "go on with the same ids and context length, or begin anew"
                )
        seed, epoch, position = (check_whole(name, state[name], -LARGEST) for name in ("seed", "epoch", "position"))
        if not 0 <= position < self.windows or epoch < 0 or seed < 0:
            raise ValueError(
                f"no sampler of {self.windows} windows can stand at epoch={epoch}, position={position}, seed={seed}"
            )
        self.seed, self.epoch, self.position = seed, epoch, position

    def _take(self, count: int) -> np.ndarray:
        """The next places of the global order, (count,) int64."""
        taken = []
        while count:
            some = self._places()[self.position : self.position + count]
            taken.append(some)
            count -= len(some)
            self.position += len(some)
            if self.position == self.windows:
                self.epoch, self.position = self.epoch + 1, 0
        return np.concatenate(taken).astype(np.int64)

    def _places(self) -> np.ndarray:
        """Where the windows of this epoch begin, in their order; made once an epoch."""
        if self._order is None or self._order[0] != (self.seed, self.epoch):
            rng = np.random.default_rng((self.seed, self.epoch))
            left_over = (len(self._ids) - 1) % self.context_length
            first = int(rng.integers(left_over + 1))
            starts = np.arange(first, first + self.windows * self.context_length, self.context_length, dtype=np.int64)
            rng.shuffle(starts)
            self._order = (self.seed, self.epoch), starts
        return self._order[1]


def _flat(tokens: Ids) -> np.ndarray | Tensor:
    ids = tokens.ids if isinstance(tokens, TokenFile) else tokens
    if not isinstance(ids, np.ndarray | Tensor):
        raise TypeError(f"tokens must be a TokenFile, a numpy array or a torch tensor, got {type(tokens).__name__}")
    whole = ids.dtype.kind in "ui" if isinstance(ids, np.ndarray) else not _has_fractions(ids.dtype)
    if ids.ndim != 1 or not whole:
        raise TypeError(f"tokens must be a flat row of integers, got {ids.dtype} of shape {tuple(ids.shape)}")
    return ids


def _has_fractions(dtype: torch.dtype) -> bool:
    return dtype.is_floating_point or dtype.is_complex or dtype == torch.bool


def _checked(
    ids: np.ndarray | Tensor, batch_size: int, context_length: int, rank: int, world_size: int
) -> tuple[int, int, int, int]:
    """Return the four numbers as Python's: products of numpy's smaller ones overflow."""
    batch_size = check_whole("batch_size", batch_size, least=-LARGEST)
    context_length = check_whole("context_length", context_length, least=-LARGEST)
    rank, world_size = check_whole("rank", rank, least=-LARGEST), check_whole("world_size", world_size, least=-LARGEST)
    for name, value in (("batch_size", batch_size), ("context_length", context_length), ("world_size", world_size)):
        if value < 1:
            raise ValueError(f"{name}={value} must be at least 1")
    if not 0 <= rank < world_size:
        raise ValueError(f"rank={rank} must be from 0 to {world_size - 1}, for world_size={world_size}")
    if len(ids) < context_length + 1:
        raise ValueError(
            f"{len(ids):,} ids are too few for context_length={context_length:,}: a window takes one id more, "
            f"{context_length + 1:,}; use a longer text or a shorter context"
        )
    return batch_size, context_length, rank, world_size


def _windows(
    ids: np.ndarray | Tensor, places: Tensor, context_length: int, device: torch.device
) -> tuple[Tensor, Tensor]:
    """The windows that begin at `places`, (B,) -> two tensors of (B, S)."""
    if isinstance(ids, Tensor):
        signed, mask = _UNSIGNED.get(ids.dtype, (ids.dtype, None))
        places = _sent(places, ids.device)
        rows = ids.view(signed).unfold(0, context_length + 1, 1)[places].long()  # B -> B S+1
        if mask is not None:
            rows &= mask
    else:
        found = sliding_window_view(ids, context_length + 1)[places.cpu().numpy()]
        rows = torch.from_numpy(found.astype(np.int64))
    rows = _sent(rows, device)
    return rows[:, :-1].contiguous(), rows[:, 1:].contiguous()


def _sent(tensor: Tensor, device: torch.device) -> Tensor:
    """The tensor on a device; to CUDA through pinned memory, so that the processor need not wait."""
    if device.type == "cuda" and tensor.device.type == "cpu":
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)
