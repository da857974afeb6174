"""What several processes say to each other besides gradients: errors, agreements, sums (chapter 11).

Each process is a rank, from 0 to `world_size` - 1. `torchrun` starts them and tells them who they are; `started` lets
them find each other. An error in one rank must end all of them, with a line that says what it was: `together`.
"""

from __future__ import annotations

import atexit
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, Literal, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

Parallel = Literal["ddp", "fsdp"]
T = TypeVar("T")

TOLD = "rank 0 tells this error"
TIMEOUT = 600.0
"""Seconds that a collective may take before it is an error."""
_PATIENCE = timedelta(days=7)  # one rank prepares the data while the others wait
_LOST = (
    "Timed out waiting",
    "Connection closed by peer",
    "Connection reset by peer",
    "Broken pipe",
)  # in gloo's errors
_ended: list[Any] = []  # the group that this process has left last; see the end of `started`
atexit.register(_ended.clear)
_ERRORS = (FileExistsError, FileNotFoundError, ValueError, TypeError, OSError, RuntimeError)


class Ranks:
    """This process among others; by default it is alone, and all methods do the obvious.

    Args:
        timeout: seconds until a collective that a rank does not join is an error; None for a process that is alone.

    Attributes:
        rank: number of this process.
        world_size: number of processes.
        local_rank: number of this process on its machine.

    >>> alone = Ranks()
    >>> alone.total(torch.tensor(3.0)).item(), alone.any(False), alone.share(lambda: 7)
    (3.0, False, 7)
    """

    rank, world_size, local_rank = 0, 1, 0

    def __init__(self, timeout: float | None = None) -> None:
        self._several = timeout is not None
        if timeout is not None:
            self.rank, self.world_size = dist.get_rank(), dist.get_world_size()
            self.local_rank = int(os.environ.get("LOCAL_RANK", self.rank))
            self._words = dist.new_group(backend="gloo", timeout=timedelta(seconds=timeout))
            self._patient = dist.new_group(backend="gloo", timeout=_PATIENCE)

    def gather(self, value: T, patient: bool = False) -> list[T]:
        """Return the values of all ranks; `patient` waits for them as long as it takes."""
        if not self._several:
            return [value]
        values: list[Any] = [None] * self.world_size
        dist.all_gather_object(values, value, group=self._patient if patient else self._words)
        return values

    @contextmanager
    def together(self, patient: bool = False) -> Iterator[None]:
        """Raise an error of any rank in all ranks; inside, no rank may wait for another.

        Args:
            patient: wait for the other ranks as long as it takes.

        Raises:
            Exception: the first rank's that failed, of its kind if that is a common one.
        """
        error = None
        try:
            yield
        except Exception as raised:
            if not self._several:
                raise
            error = raised
        told = None
        if error is not None:
            told = next((i for i, kind in enumerate(_ERRORS) if isinstance(error, kind)), len(_ERRORS) - 1), str(error)
        failed = {rank: one for rank, one in enumerate(self.gather(told, patient)) if one is not None}
        if failed:
            first, (kind, message) = next(iter(failed.items()))
            common = len(failed) == self.world_size and len(set(failed.values())) == 1
            common = common or self.world_size == 1
            raised_by_all = _ERRORS[kind](message if common else f"rank {first} of {self.world_size}: {message}")
            if self.rank:
                raised_by_all.add_note(TOLD)
            raise raised_by_all from error

    def check_same(self, what: str, values: Mapping[str, Any]) -> None:
        """Compare plain values between all ranks.

        Raises:
            ValueError: they differ; says which, and where.
        """
        with self.together():
            pass  # whoever failed before this has said so
        own = {name: repr(value) for name, value in values.items()}
        everyone = self.gather(own)
        for rank, theirs in enumerate(everyone):
            odd = [name for name in {**everyone[0], **theirs} if theirs.get(name) != everyone[0].get(name)]
            if odd:
                shown = "; ".join(f"{name} is {theirs.get(name)}, not {everyone[0].get(name)}" for name in odd[:3])
                error = ValueError(
                    f"rank {rank} has another {what} than rank 0: {shown}; start all ranks with the same command"
                )
                if self.rank:
                    error.add_note(TOLD)
                raise error

    def in_turn(self, make: Callable[[], T]) -> T:
        """Let one rank of each machine make something that is kept on its disk, then the others, who find it there."""
        made: list[T] = []
        for mine in (self.local_rank == 0, self.local_rank != 0):
            with self.together(patient=True):
                if mine:
                    made.append(make())
        return made[0]

    def share(self, make: Callable[[], T]) -> T:
        """Return what rank 0 makes, in all ranks."""
        made: list[Any] = [None]
        with self.together():
            if self.rank == 0:
                made[0] = make()
        return self.gather(made[0])[0]

    def total(self, value: Tensor) -> Tensor:
        """Return the sum of a value over all ranks."""
        if not self._several:
            return value
        value = value.detach().clone()
        dist.all_reduce(value)
        return value

    def any(self, flag: bool) -> bool:
        """Return whether any rank says so."""
        if not self._several:
            return flag
        said = torch.tensor([int(flag)])
        dist.all_reduce(said, op=dist.ReduceOp.MAX, group=self._words)  # on the CPU: no accelerator waits for it
        return bool(said.item())


@contextmanager
def started(
    parallel: Parallel | None, device: str = "auto", timeout: float = TIMEOUT, rendezvous: str | None = None
) -> Iterator[Ranks]:
    """Let the processes that torchrun started find each other.

    Args:
        parallel: how they share the work; None for one process.
        device: what they run on, as `TrainConfig.device`.
        timeout: seconds that a collective may take.
        rendezvous: where they meet, such as `file:///shared/new-file`; None for where torchrun says.

    Yields:
        This process among them.

    Raises:
        ValueError: `parallel` and the number of processes do not fit together.
        RuntimeError: another process did not answer in time, or is gone.

    >>> with started(None) as ranks:
    ...     ranks.world_size
    1
    """
    world_size = int(os.environ.get("WORLD_SIZE", "1"))
    if parallel is None:
        if world_size > 1:
            raise ValueError(f"there are {world_size} processes: say how they share the work, --parallel ddp or fsdp")
        yield Ranks()
        return
    if "RANK" not in os.environ:
        raise ValueError(
            f"--parallel {parallel} needs processes that torchrun starts: "
            f"torchrun --nproc-per-node=2 -m cs336_lib train PRESET --parallel {parallel}"
        )
    cuda = torch.cuda.is_available() and device != "cpu"
    if cuda:
        local_rank = int(os.environ.get("LOCAL_RANK", "0"))
        if local_rank >= torch.cuda.device_count():
            raise ValueError(
                f"local rank {local_rank} has no device: this machine has {torch.cuda.device_count()} CUDA devices; "
                "start as many processes at most (--nproc-per-node)"
            )
        torch.cuda.set_device(local_rank)
    patience = timedelta(seconds=timeout)
    url = rendezvous or "env://"
    store, rank, _ = next(dist.rendezvous(url, int(os.environ["RANK"]), world_size, timeout=patience))
    # torchrun's store outlives the processes that it starts again: they must not find addresses of those that died.
    attempt = f"{os.environ.get('TORCHELASTIC_RESTART_COUNT', 0)} of {world_size}"
    dist.init_process_group(
        "cpu:gloo,cuda:nccl" if cuda else "gloo",
        store=dist.PrefixStore(attempt, store),
        rank=rank,
        world_size=world_size,
        timeout=patience,
    )
    try:
        yield Ranks(timeout)
    except RuntimeError as error:
        if not any(words in str(error) for words in _LOST):
            raise
        raise RuntimeError(
            f"rank {rank} of {world_size}: another process did not answer within {timeout:g} s, or is gone; go on from "
            "the last checkpoint with torchrun and resume (torchrun --max-restarts does so by itself); if it was only "
            "slow, give it longer with --timeout"
        ) from error
    # Where DDP is the last to let go of a group, it waits for the group's threads and lets no other thread of Python go
    # on meanwhile; one of those may need just that to let go of a tensor, and both would wait for ever.
    _ended[:] = [dist.group.WORLD]
    dist.destroy_process_group()  # not after an error: the others may be gone, and this would wait for them
