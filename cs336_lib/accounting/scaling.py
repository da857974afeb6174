"""Time and cost on a cluster, on paper: from a rate measured on one worker to many (chapter 11).

A model of two terms. A step computes for what was measured on one worker, and communicates for bytes over bandwidth;
a part of the computing can hide communication::

    step = compute + max(0, communication - overlap * compute)

It knows no stragglers, no failures, no congestion and no start-up, which makes it optimistic; and it hides no
communication behind a forward pass, where FSDP2 fetches weights ahead, which makes it pessimistic there. Rates,
bandwidths and prices are arguments: what comes out is no better than what is put in, and a `Cluster` says where its
figures come from.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args

from cs336_lib.accounting.breakdown import check_amount, check_config, check_count
from cs336_lib.accounting.distributed import Strategy, check_strategy, step_traffic
from cs336_lib.accounting.throughput import DAY, HOUR
from cs336_lib.model.config import ModelConfig
from cs336_lib.naming import check_choice, real_number

Scaling = Literal["strong", "weak"]


@dataclass(frozen=True)
class Cluster:
    """Workers that are paid by the hour.

    Attributes:
        name: what it is.
        workers: how many; a worker is what a rate was measured on: a GPU, a core, a machine.
        price: of a worker for an hour.
        source: where the price (and the bandwidth, if given) comes from, with its date; printed beside each result.
        currency: of the price.
        bandwidth: bytes per second that a worker sends while it receives as many; infinite if that is left out.

    Raises:
        ValueError: a number is out of range, or there is no source.
    """

    name: str
    workers: int
    price: float
    source: str
    currency: str = "USD"
    bandwidth: float = math.inf

    def __post_init__(self) -> None:
        object.__setattr__(self, "workers", check_count("workers", self.workers))
        object.__setattr__(self, "bandwidth", check_rate("bandwidth", self.bandwidth, infinite=True))
        object.__setattr__(self, "price", check_amount("price", self.price))
        if not self.source.strip():
            raise ValueError("source is empty; say where the price comes from, such as 'list price of X, date'")


@dataclass(frozen=True)
class Bill:
    """What a job takes on a cluster, on paper.

    Attributes:
        cluster: where.
        seconds: wall-clock time.
    """

    cluster: Cluster
    seconds: float

    @property
    def worker_hours(self) -> float:
        """Hours that are paid for, of all workers together."""
        return self.seconds / HOUR * self.cluster.workers

    @property
    def cost(self) -> float:
        """The price of these hours, in the cluster's currency."""
        return self.worker_hours * self.cluster.price

    def __str__(self) -> str:
        """Say it with its label and its source."""
        time = f"{self.seconds / DAY:,.2f} days" if self.seconds >= DAY else f"{self.seconds / HOUR:,.2f} hours"
        spent = f"{self.worker_hours:,.0f} worker hours, {self.cost:,.0f} {self.cluster.currency}"
        return f"on paper: {time} on {self.cluster.name}, {spent} ({self.cluster.source})"


@dataclass(frozen=True)
class ScalingPoint:
    """One number of workers on a modeled scaling curve.

    Attributes:
        workers: N.
        tokens: of a step, on all workers together.
        compute_seconds: each worker's own part of a step.
        communication_seconds: bytes over bandwidth, hidden or not.
        seconds: of a step.
        speedup: tokens per second over those of one worker.
    """

    workers: int
    tokens: int
    compute_seconds: float
    communication_seconds: float
    seconds: float
    speedup: float

    @property
    def efficiency(self) -> float:
        """Speed-up over workers: 1 if communication costs nothing."""
        return self.speedup / self.workers

    @property
    def tokens_per_second(self) -> float:
        """Of all workers together."""
        return self.tokens / self.seconds


def step_seconds(compute: float, communication: float, overlap: float = 0.0) -> float:
    """Return the time of a step whose communication partly hides behind computing.

    Args:
        compute: seconds.
        communication: seconds.
        overlap: the part of the computing during which communication can go on, 0 to 1. The backward pass is two thirds
            of a step.

    Raises:
        TypeError, ValueError: a number is none, or out of range.

    >>> step_seconds(3.0, 2.5, overlap=2 / 3), step_seconds(3.0, 1.5, overlap=2 / 3)
    (3.5, 3.0)
    """
    compute, communication = check_amount("compute", compute), check_amount("communication", communication)
    overlap = real_number("overlap", overlap)
    if not 0 <= overlap <= 1:
        raise ValueError(f"overlap is {overlap}; it must be from 0 to 1")
    return compute + max(0.0, communication - overlap * compute)


def training_scaling(
    cfg: ModelConfig,
    workers: int,
    tokens_per_second: float,
    batch_size: int,
    bandwidth: float,
    *,
    strategy: Strategy = "ddp",
    scaling: Scaling = "strong",
    overlap: float = 2 / 3,
    context_length: int | None = None,
    reshard_after_forward: bool = True,
) -> ScalingPoint:
    """Model a training step on several workers from the measured rate of one.

    Args:
        cfg: the model.
        workers: N; 1 communicates nothing.
        tokens_per_second: measured on one worker, in training. It is taken to hold for smaller batches, too, which is
            generous to strong scaling.
        batch_size: sequences per step: of all workers together if strong, of each if weak.
        bandwidth: bytes per second that each worker sends while it receives as many.
        strategy: "ddp" or "fsdp".
        scaling: "strong" shares one batch among more workers, "weak" gives each worker the same.
        overlap: see `step_seconds`; two thirds is the whole backward pass.
        context_length: S; the model's context length when None.
        reshard_after_forward: FSDP2 only, see `step_traffic`.

    Returns:
        Times of a step and speed-up.

    Raises:
        ValueError: a number is out of range, a name unknown, or the workers do not divide the batch.

    >>> cfg = ModelConfig.preset("tinystories-17m")
    >>> point = training_scaling(cfg, 8, 100_000, batch_size=256, bandwidth=1.25e9)
    >>> round(point.communication_seconds, 3), round(point.compute_seconds, 3), round(point.efficiency, 2)
    (0.127, 0.082, 0.53)
    """
    check_config(cfg)
    batch_size, workers = check_count("batch_size", batch_size), check_count("workers", workers)
    check_strategy(strategy, workers)
    tokens_per_second = check_rate("tokens_per_second", tokens_per_second)
    bandwidth = check_rate("bandwidth", bandwidth, infinite=True)
    check_choice("scaling", scaling, get_args(Scaling))
    if scaling == "strong" and batch_size % workers:
        raise ValueError(f"{workers} workers do not divide batch_size {batch_size}; choose a divisor of it")
    seq_len = check_count("context_length", cfg.context_length if context_length is None else context_length)
    each = batch_size // workers if scaling == "strong" else batch_size
    tokens, compute = each * workers * seq_len, each * seq_len / tokens_per_second
    sent = 0 if workers == 1 else step_traffic(cfg, strategy, workers, reshard_after_forward=reshard_after_forward).sent
    seconds = step_seconds(compute, sent / bandwidth, overlap)
    # In this order no rounding makes an efficiency of more than 1, which `training_bill` would refuse.
    return ScalingPoint(workers, tokens, compute, sent / bandwidth, seconds, workers * (compute / seconds))


def training_bill(tokens: int, tokens_per_second: float, cluster: Cluster, efficiency: float = 1.0) -> Bill:
    """Return time and cost of a training on paper.

    Args:
        tokens: to train on.
        tokens_per_second: of one worker: measured, or peak times MFU over the FLOPs of a token.
        cluster: where, and at what price.
        efficiency: of scaling, above 0 and at most 1 (`ScalingPoint.efficiency`).

    Raises:
        ValueError: a number is out of range.

    >>> cluster = Cluster("16 cards", 16, price=2.0, source="an example")
    >>> bill = training_bill(15 * 10**12, 100_000, cluster)
    >>> round(bill.seconds / DAY, 1), round(bill.cost)
    (108.5, 83333)
    """
    tokens, tokens_per_second = check_count("tokens", tokens), check_rate("tokens_per_second", tokens_per_second)
    efficiency = real_number("efficiency", efficiency)
    if not 0 < efficiency <= 1:
        raise ValueError(f"efficiency is {efficiency}; it must be above 0 and at most 1")
    return Bill(cluster, tokens / (tokens_per_second * cluster.workers * efficiency))


def tokenizing_bill(
    source_bytes: int,
    cluster: Cluster,
    *,
    count_rate: float,
    encode_rate: float,
    merge_seconds: float = 0.0,
    storage_bandwidth: float = math.inf,
) -> Bill:
    """Return time and cost of training a tokenizer on a text and encoding it, on paper.

    Counting and encoding share the text out; each reads all of it, and no faster than the storage gives it. Merging
    happens in one process while the others wait, and are paid.

    Args:
        source_bytes: of the text.
        cluster: where, and at what price.
        count_rate: bytes per second that one worker counts; infinite if a tokenizer is there already.
        encode_rate: bytes per second that one worker encodes.
        merge_seconds: of one process.
        storage_bandwidth: bytes per second that all workers together can read.

    Raises:
        ValueError: a number is out of range.

    >>> cluster = Cluster("10 cores", 10, price=0.05, source="an example")
    >>> bill = tokenizing_bill(825 * 10**9, cluster, count_rate=110e6, encode_rate=55e6, merge_seconds=60)
    >>> bill.seconds, round(bill.cost, 2)
    (2310.0, 0.32)
    """
    source_bytes, merge_seconds = (
        check_count("source_bytes", source_bytes),
        check_amount("merge_seconds", merge_seconds),
    )
    count_rate = check_rate("count_rate", count_rate, infinite=True)
    encode_rate = check_rate("encode_rate", encode_rate)
    storage_bandwidth = check_rate("storage_bandwidth", storage_bandwidth, infinite=True)
    encoding = source_bytes / min(storage_bandwidth, cluster.workers * encode_rate)
    # At an infinite rate there is no counting pass, so nothing is read for it either.
    counting = 0.0 if math.isinf(count_rate) else source_bytes / min(storage_bandwidth, cluster.workers * count_rate)
    return Bill(cluster, counting + merge_seconds + encoding)


def check_rate(name: str, value: float, *, infinite: bool = False) -> float:
    """Return a rate, numpy's numbers as Python's.

    Raises:
        TypeError: it is no number.
        ValueError: it is not positive, or is infinite where such ones are not allowed.
    """
    rate = real_number(name, value)
    if not rate > 0 or (math.isinf(rate) and not infinite):
        raise ValueError(f"{name} is {rate}; it must be above 0{'' if infinite else ' and finite'}")
    return rate
