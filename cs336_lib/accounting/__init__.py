"""Parameters, FLOPs, memory and time as pure functions of a model's configuration (chapter 5).

A side wing: it reads configurations only, never a model, and never imports torch. Tests hold its counts to the real
model's: parameters to `numel`, FLOPs to torch's own counter, activations to what autograd saves, all to the unit.

Conventions, everywhere: a multiply-add is 2 FLOPs; matrix products only; full attention unless "causal" is asked for;
GB is 1e9 bytes and GiB 2^30; MFU is against the device's dense peak for the stated dtype.

The rooms, in reading order: `breakdown` (what counts return), `parameters`, `flops`, `optimizer`, `activations`,
`memory`, `devices`, `throughput` (training time, MFU), `intensity` (the roofline), `decoding`; past one machine
`distributed` (memory and bytes of each rank) and `scaling` (time and cost of a cluster); then `report`, all of it as
text.

    >>> from cs336_lib.accounting import forward_flops, parameter_count
    >>> from cs336_lib.model import ModelConfig
    >>> xl = ModelConfig.preset("gpt2-xl")
    >>> parameter_count(xl).total, forward_flops(xl).total
    (2127057600, 4513336524800)
"""

from cs336_lib.accounting import report
from cs336_lib.accounting.activations import autograd_activations, handout_activations
from cs336_lib.accounting.breakdown import Breakdown
from cs336_lib.accounting.decoding import DecodingStep, decode_time, kv_cache_bytes
from cs336_lib.accounting.devices import DEVICES, Device, identify
from cs336_lib.accounting.distributed import RankMemory, Strategy, Traffic, rank_memory, step_traffic
from cs336_lib.accounting.flops import MatMul, crossing_context, forward_flops, matmuls, training_flops
from cs336_lib.accounting.intensity import RooflinePoint, roofline
from cs336_lib.accounting.memory import GB, GIB, TrainingMemory, max_batch_size, training_memory
from cs336_lib.accounting.optimizer import ADAMW_OPERATIONS, adamw_flops
from cs336_lib.accounting.parameters import parameter_count
from cs336_lib.accounting.scaling import (
    Bill,
    Cluster,
    Scaling,
    ScalingPoint,
    step_seconds,
    tokenizing_bill,
    training_bill,
    training_scaling,
)
from cs336_lib.accounting.throughput import DAY, HOUR, mfu, training_time

__all__ = [
    "Breakdown",
    "parameter_count",
    "MatMul",
    "matmuls",
    "forward_flops",
    "training_flops",
    "crossing_context",
    "ADAMW_OPERATIONS",
    "adamw_flops",
    "handout_activations",
    "autograd_activations",
    "GB",
    "GIB",
    "TrainingMemory",
    "training_memory",
    "max_batch_size",
    "DEVICES",
    "Device",
    "identify",
    "HOUR",
    "DAY",
    "training_time",
    "mfu",
    "RooflinePoint",
    "roofline",
    "kv_cache_bytes",
    "DecodingStep",
    "decode_time",
    "Strategy",
    "RankMemory",
    "rank_memory",
    "Traffic",
    "step_traffic",
    "Cluster",
    "Bill",
    "tokenizing_bill",
    "training_bill",
    "Scaling",
    "ScalingPoint",
    "step_seconds",
    "training_scaling",
    "report",
]
