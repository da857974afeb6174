"""Memory on each rank, and bytes between ranks, when one model is trained by many processes (chapter 11).

N ranks, P parameters. Two ways to share the work, both with each rank reading its own part of the batch:

- DDP keeps everything on every rank and sums gradients over ranks once a step (an all-reduce of P numbers).
- FSDP2 cuts every parameter into N shards along its first dimension, with gradients and optimizer state likewise. A
  group of parameters (each layer is one; embedding, last norm and head are the root's) is gathered before it is used,
  and its gradients are reduced and scattered when they are there.

Two numbers describe a collective. Its *payload* is the full tensor: what goes into an all-reduce or a reduce-scatter,
what comes out of an all-gather. On the *wire* a ring sends (N - 1) / N of the payload from each rank in an all-gather
or a reduce-scatter, and twice that in an all-reduce, which is both in turn; no algorithm in which
the ranks themselves add can do with less (Patarasuk and Yuan, 2009). Everything is float32, as in `memory`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, get_args

from cs336_lib.accounting.activations import ActivationList
from cs336_lib.accounting.breakdown import Breakdown, check_count
from cs336_lib.accounting.memory import FLOAT32, training_memory
from cs336_lib.accounting.parameters import FFN_MATRICES, parameter_count
from cs336_lib.model.config import ModelConfig
from cs336_lib.naming import check_choice

Strategy = Literal["single", "ddp", "fsdp"]
Shape = tuple[int, ...]


@dataclass(frozen=True)
class RankMemory:
    """Bytes of a training step with AdamW on the rank that holds most.

    Attributes:
        parameters: weights held between steps; with FSDP2 this rank's shards.
        gradients: one number for each of those.
        optimizer: the two moments.
        buffers: what communication needs on top: buckets of DDP; weights and gradients of FSDP2 while they are whole.
        activations: what the forward pass keeps for this rank's part of the batch.
    """

    parameters: int
    gradients: int
    optimizer: int
    buffers: int
    activations: int

    @property
    def fixed(self) -> int:
        """Bytes of parameters, gradients and optimizer."""
        return self.parameters + self.gradients + self.optimizer

    @property
    def total(self) -> int:
        """All bytes."""
        return self.fixed + self.buffers + self.activations

    def parts(self) -> Breakdown:
        """Return the bytes by purpose."""
        names = ("parameters", "gradients", "optimizer", "buffers", "activations")
        return Breakdown({name: getattr(self, name) for name in names})


@dataclass(frozen=True)
class Traffic:
    """What the ranks say to each other in one optimizer step.

    Attributes:
        payload: collective -> bytes of full tensors: `all_reduce`, `all_gather` and `reduce_scatter`, as they apply.
        ranks: N.
    """

    payload: Breakdown
    ranks: int

    @property
    def sent(self) -> int:
        """Bytes that each rank sends (and receives) on a ring, rounded up."""
        trips = self.payload.total + self.payload.get("all_reduce", 0)
        return -(-trips * (self.ranks - 1) // self.ranks)


def layer_shapes(cfg: ModelConfig) -> list[Shape]:
    """Return the shapes of one layer's parameters.

    >>> layer_shapes(ModelConfig(10, 8, 4, num_layers=2, num_heads=2, d_ff=6))
    [(4, 4), (4, 4), (4, 4), (4, 4), (6, 4), (6, 4), (4, 6), (4,), (4,)]
    """
    D, F = cfg.d_model, cfg.d_ff
    norms: list[Shape] = [] if cfg.norm == "none" else [(D,), (D,)]
    on_heads: list[Shape] = [(cfg.head_dim,), (cfg.head_dim,)] if cfg.qk_norm else []
    return [*[(D, D)] * 4, *[(F, D)] * (FFN_MATRICES[cfg.ffn] - 1), (D, F), *norms, *on_heads]


def root_shapes(cfg: ModelConfig) -> list[Shape]:
    """Return the shapes of the parameters outside the layers.

    >>> root_shapes(ModelConfig(10, 8, 4, num_layers=2, num_heads=2))
    [(10, 4), (4,), (10, 4)]
    """
    table = (cfg.vocab_size, cfg.d_model)
    last_norm: list[Shape] = [(cfg.d_model,)] if cfg.norm == "pre" else []
    return [table, *last_norm, *([] if cfg.tie_embeddings else [table])]


def shard_size(shapes: Iterable[Shape], ranks: int) -> int:
    """Return the numbers that the fullest rank holds: of each parameter 1 / N of the rows, rounded up.

    Collectives work on shards of equal size, so N of these, padding included, are what they move.

    >>> shard_size([(10, 4), (3,)], ranks=4)                               # 3 of 10 rows, 1 of 3
    13
    """
    return sum(-(-shape[0] // ranks) * math.prod(shape[1:]) for shape in shapes)


def rank_memory(
    cfg: ModelConfig,
    strategy: Strategy = "single",
    ranks: int = 1,
    batch_size: int = 1,
    context_length: int | None = None,
    *,
    accumulation: int = 1,
    reshard_after_forward: bool = True,
    gradient_as_bucket_view: bool = False,
    activations: ActivationList = "handout",
    edition: str | int | None = None,
) -> RankMemory:
    """Count the bytes of a training step with AdamW on one of several ranks, everything in float32.

    `buffers` is the least that a schedule needs:

    - DDP: a copy of the gradients in its buckets, unless gradients are views of these.
    - FSDP2: the root's parameters, whole from the forward to the backward pass; of the layers the one at work and the
      next, which is fetched meanwhile; and the whole gradients of one group before they are reduced. With
      `reshard_after_forward=False` all layers stay whole. With a batch in several parts the gradients of all groups
      are whole, and wait for the last part (`set_requires_gradient_sync(False)`, as in `step_traffic`). Copies into
      and out of a collective come on top.

    Args:
        cfg: the model.
        strategy: "single", "ddp" or "fsdp".
        ranks: N; 1 for "single".
        batch_size: sequences on this rank, B / N of the global batch; with accumulation, of one part.
        context_length: S; the model's context length when None.
        accumulation: parts that a step's batch is computed in.
        reshard_after_forward: FSDP2 only: whether layers are given up after the forward pass.
        gradient_as_bucket_view: DDP only: whether gradients are views of the buckets.
        activations: which list, as in `training_memory`.
        edition: whose component list, likewise.

    Returns:
        Bytes by purpose.

    Raises:
        ValueError: a size is not a positive whole number, or a name is unknown.

    Source: Rajbhandari et al., 2020 (ZeRO), section 3; FSDP2 is its stage 3, or stage 2 with
    `reshard_after_forward=False`.

    >>> xl = ModelConfig.preset("gpt2-xl")
    >>> rank_memory(xl, "ddp", 8).fixed, rank_memory(xl, "fsdp", 8).fixed
    (34032921600, 4254160000)
    >>> rank_memory(xl, "fsdp", 8).buffers, rank_memory(xl, "fsdp", 8, accumulation=4).buffers
    (1614476800, 9479321600)
    """
    ranks, accumulation = check_strategy(strategy, ranks), check_count("accumulation", accumulation)
    whole = training_memory(cfg, batch_size, context_length, activations=activations, edition=edition)
    kept = whole.activations.total
    if strategy != "fsdp":
        copies = 0 if strategy == "single" or gradient_as_bucket_view else whole.gradients
        return RankMemory(whole.parameters, whole.gradients, whole.optimizer, copies, kept)
    layer, root, L = layer_shapes(cfg), root_shapes(cfg), cfg.num_layers
    shard = FLOAT32 * (L * shard_size(layer, ranks) + shard_size(root, ranks))
    one_layer, rest = (FLOAT32 * ranks * shard_size(shapes, ranks) for shapes in (layer, root))
    gathered = rest + one_layer * (min(2, L) if reshard_after_forward else L)
    waiting = whole.gradients if accumulation > 1 else 0
    return RankMemory(shard, shard, 2 * shard, gathered + max(one_layer, rest, waiting), kept)


def step_traffic(
    cfg: ModelConfig,
    strategy: Strategy,
    ranks: int,
    *,
    accumulation: int = 1,
    reshard_after_forward: bool = True,
) -> Traffic:
    """Count the bytes that gradients and weights travel in one optimizer step, in float32.

    - DDP: one all-reduce of P numbers, however many parts a step's batch has (`no_sync` for all but the last).
    - FSDP2, for each part: every group is gathered for the forward pass, the layers once more for the backward pass if
      they were given up; the root never is. Gradients are reduced and scattered once, after the last part, if the
      engine accumulates whole gradients till then (`set_requires_gradient_sync(False)`).

    Shards are padded to equal size, so the numbers moved can exceed P. The norm for clipping and logged losses add a
    few bytes, which are left out; so is what moves once, when a run starts.

    Args:
        cfg: the model.
        strategy: "single", "ddp" or "fsdp".
        ranks: N; 1 for "single".
        accumulation: parts that a step's batch is computed in.
        reshard_after_forward: FSDP2 only: whether layers are given up after the forward pass.

    Returns:
        Payload by collective, and what each rank sends.

    Raises:
        ValueError: a size is not a positive whole number, or the strategy is unknown.

    >>> xl = ModelConfig.preset("gpt2-xl")
    >>> step_traffic(xl, "ddp", 8)
    Traffic(payload=Breakdown(all_reduce=8508230400; total=8508230400), ranks=8)
    >>> step_traffic(xl, "ddp", 8).sent, step_traffic(xl, "fsdp", 8).sent
    (14889403200, 21771377600)
    """
    ranks, accumulation = check_strategy(strategy, ranks), check_count("accumulation", accumulation)
    if strategy == "single":
        return Traffic(Breakdown({}), 1)
    if strategy == "ddp":
        return Traffic(Breakdown({"all_reduce": FLOAT32 * parameter_count(cfg).total}), ranks)
    layers = FLOAT32 * ranks * cfg.num_layers * shard_size(layer_shapes(cfg), ranks)
    root = FLOAT32 * ranks * shard_size(root_shapes(cfg), ranks)
    once = layers + root
    gathered = accumulation * (once + layers) if reshard_after_forward else accumulation * once
    return Traffic(Breakdown({"all_gather": gathered, "reduce_scatter": once}), ranks)


def check_strategy(strategy: str, ranks: int) -> int:
    """Return the number of ranks, or raise ValueError unless the strategy is known and fits it."""
    check_choice("strategy", strategy, get_args(Strategy))
    ranks = check_count("ranks", ranks)
    if strategy == "single" and ranks > 1:
        raise ValueError(f'ranks is {ranks}, but strategy "single" has one; choose "ddp" or "fsdp"')
    return ranks
