"""Everything that can be counted about a configuration, as text (chapter 5).

`text` is what `cs336 account` prints; `table` serves the notebook's tables as well.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from numbers import Real
from typing import get_args

from cs336_lib.accounting.activations import ActivationList, autograd_activations, own_list
from cs336_lib.accounting.breakdown import Breakdown, check_count, check_sizes
from cs336_lib.accounting.decoding import decode_time, kv_cache_bytes
from cs336_lib.accounting.devices import Device, peak_flops
from cs336_lib.accounting.devices import device as find_device
from cs336_lib.accounting.flops import crossing_context, forward_flops, matmuls, training_flops
from cs336_lib.accounting.intensity import BYTES, roofline
from cs336_lib.accounting.memory import FLOAT32, GB, GIB, max_batch_size, training_memory
from cs336_lib.accounting.optimizer import adamw_flops
from cs336_lib.accounting.parameters import parameter_count
from cs336_lib.accounting.throughput import DAY, HOUR, training_time
from cs336_lib.editions import Edition
from cs336_lib.editions import edition as find_edition
from cs336_lib.editions import problem as find_problem
from cs336_lib.editions.edition import ACCOUNTING_BATCH, ACCOUNTING_GB, ACCOUNTING_MFU, ACCOUNTING_STEPS
from cs336_lib.model.config import ModelConfig
from cs336_lib.naming import unwrapped

_LISTS = get_args(ActivationList)
_UNITS = (
    *((86_400 * 365.25, "years"), (86_400, "days"), (3_600, "hours"), (60, "minutes"), (1, "s"), (1e-3, "ms")),
    (1e-6, "us"),
)


def table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Lay out rows as aligned columns, those with numbers to the right; whole numbers get thousands separators.

    Args:
        header: one title per column; an empty one is fine.
        rows: cells; format floats beforehand.

    Raises:
        ValueError: a row has another number of cells than the header.

    >>> print(table(["part", "count"], [["ffn", 1474560000], ["norms", 155200]]))
    part           count
    ffn    1,474,560,000
    norms        155,200
    """
    if wrong := [row for row in rows if len(row) != len(header)]:
        raise ValueError(f"a row has {len(wrong[0])} cells, the header {len(header)}: {wrong[0]!r}")
    cells = [list(header), *([f"{c:,}" if isinstance(c, int) else str(c) for c in row] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    left = [not any(str(row[i])[:1].isdigit() for row in rows) for i in range(len(header))]
    lines = (
        "  ".join(c.ljust(w) if is_left else c.rjust(w) for c, w, is_left in zip(row, widths, left, strict=True))
        for row in cells
    )
    return "\n".join(line.rstrip() for line in lines)


def breakdown_table(title: str, counts: Breakdown, unit: str, tokens: int = 0) -> str:
    """Lay out a breakdown with shares and total.

    Args:
        title: of the column of components.
        counts: what to lay out.
        unit: title of the column of counts.
        tokens: when given, one more column shares the counts out among that many tokens.

    >>> print(breakdown_table("component", Breakdown({"ffn": 6, "lm_head": 2}), "per sequence", tokens=2))
    component  per sequence  per token    share
    ffn                   6          3  75.00 %
    lm_head               2          1  25.00 %
    total                 8          4
    """
    rows = [[name, count, f"{100 * counts.share(name):.2f} %"] for name, count in counts.items()]
    rows.append(["total", counts.total, ""])
    header = [title, unit, "share"]
    if tokens:
        header.insert(2, "per token")
        for row, count in zip(rows, [*counts.values(), counts.total], strict=True):
            row.insert(2, count // tokens)
    return table(header, rows)


def duration(seconds: float) -> str:
    """Write a time in the largest unit of which there is at least one, as it would be written.

    Raises:
        ValueError: it is below 0, or no number.

    >>> duration(4.41952e8), duration(37.02), duration(0.00216), duration(3599.9999), duration(0)
    ('14.00 years', '37.02 s', '2.16 ms', '1.00 hours', '0.00 us')
    """
    if not seconds >= 0:
        raise ValueError(f"seconds is {seconds}; it must be 0 or more")
    for (size, unit), (smaller, _) in pairwise(_UNITS):
        if round(seconds / smaller, 2) >= round(size / smaller, 2):
            return f"{seconds / size:.2f} {unit}"
    return f"{seconds / 1e-6:.2f} us"


def size(count: int) -> str:
    """Write a number of bytes in both kinds of units, in smaller ones where it is below a hundredth of a GB.

    Raises:
        ValueError: it is below 0, or no number.

    >>> size(8_508_230_400), size(1_048_576)
    ('8.508 GB (7.924 GiB)', '1.049 MB (1.000 MiB)')
    """
    if not count >= 0:
        raise ValueError(f"count is {count}; it must be 0 or more")
    if count >= GB // 100:
        return f"{count / GB:.3f} GB ({count / GIB:.3f} GiB)"
    if count >= 10_000:
        return f"{count / 10**6:.3f} MB ({count / 2**20:.3f} MiB)"
    return f"{count / 10**3:.3f} kB ({count / 2**10:.3f} KiB)"


def text(
    cfg: ModelConfig,
    *,
    context_length: int | None = None,
    batch_size: int = 1,
    device: str | Device | float = "h100-sxm",
    dtype: str | None = None,
    mfu: float = 0.5,
    steps: int | None = None,
    edition: str | int | None = None,
) -> str:
    r"""Account for a model: parameters, FLOPs, memory, time, roofline and decoding, as one text of several tables.

    Args:
        cfg: the model.
        context_length: S; the model's context length when None.
        batch_size: B, sequences of a training step.
        device: a name of `DEVICES`, a `Device`, or a peak in FLOP/s, which leaves out what the memory decides.
        dtype: type of the products; "bfloat16" when None, or "float16" on a device without it; none beside a peak.
        mfu: the part of the peak that training reaches.
        steps: optimizer steps of the training that is timed; when None, as many as make 20 tokens per parameter.
        edition: "2025" or "2026": whose list of activations is counted, and one more section answers that edition's
            accounting problem for this model. When None, the list that belongs to the model: that of 2026 with a gate,
            otherwise that of 2025.

    Returns:
        Lines without one at the end.

    Raises:
        ValueError: a size is not a positive whole number, or device, dtype, MFU or edition is unknown or out of
            range.

    >>> report = text(ModelConfig.preset("tinystories-17m"), batch_size=128)
    >>> print(report.split("\n\n")[0])
    Parameters
    component                   count    share
    embedding               5,120,000  22.56 %
    attention_projections   4,194,304  18.48 %
    ffn                     8,257,536  36.38 %
    norms                       4,608   0.02 %
    lm_head                 5,120,000  22.56 %
    total                  22,696,448
    In float32: 0.091 GB (0.085 GiB).
    """
    is_peak = isinstance(unwrapped(device), Real)
    where = peak_flops(device) if is_peak else find_device(device, or_peak=True)
    if isinstance(where, float) and dtype is not None:
        raise ValueError(f"dtype is {dtype!r}, and a peak in FLOP/s is of one type already: leave dtype out")
    S, B = check_sizes(cfg, context_length, batch_size)
    asked = own_list(cfg) if edition is None else find_edition(edition)
    kind = dtype or ("bfloat16" if isinstance(where, float) or "bfloat16" in where.peaks else "float16")
    sections = [
        _parameters(cfg),
        _flops(cfg, S, B),
        _memory(cfg, S, B, where, asked),
        _time(cfg, S, B, where, kind, mfu, steps),
        *(_of_memory(cfg, S, B, where, kind)),
        *([] if edition is None else [_handout(cfg, asked)]),
    ]
    return "\n\n".join(sections)


def _of_memory(cfg: ModelConfig, S: int, B: int, where: Device | float, dtype: str) -> list[str]:
    """What a device's memory decides, or that it is left out."""
    if isinstance(where, float):
        left_out = "Left out, for a peak says nothing of memory:\nthe largest batch, the roofline, decoding."
        return [left_out]
    return [_roofline(cfg, S, B, where, dtype), _decoding(cfg, S, B, where, dtype)]


def _parameters(cfg: ModelConfig) -> str:
    counts = parameter_count(cfg)
    return f"Parameters\n{breakdown_table('component', counts, 'count')}\nIn float32: {size(FLOAT32 * counts.total)}."


def _flops(cfg: ModelConfig, S: int, B: int) -> str:
    products = [
        [p.name, f"({p.m}, {p.k})", f"({p.k}, {p.n})", p.count, p.flops] for p in matmuls(cfg, context_length=S)
    ]
    forward, training = forward_flops(cfg, S), training_flops(cfg, S).total
    return "\n".join(
        [
            f"Matrix products of one sequence of {S:,} tokens, full attention",
            table(["product", "left", "right", "times", "FLOPs"], products),
            "",
            breakdown_table("Forward FLOPs", forward, "per sequence", tokens=S),
            f"Training (forward and backward): {training:,} per sequence,",
            f"{training // S:,} per token, {training * B:,} per batch of {B:,}.",
            f"AdamW: {adamw_flops(cfg):,} per step, 14 per parameter.",
            f"With causal attention: {forward_flops(cfg, S, attention='causal').total:,} forward FLOPs per sequence.",
            f"Attention scores overtake the feed-forward network at {crossing_context(cfg):,} tokens.",
        ]
    )


def _memory(cfg: ModelConfig, S: int, B: int, where: Device | float, asked: Edition) -> str:
    memory = training_memory(cfg, B, S, edition=asked.name)
    kept = autograd_activations(cfg, S, B)
    rows = [
        ["parameters", memory.parameters, size(memory.parameters)],
        ["gradients", memory.gradients, size(memory.gradients)],
        ["AdamW's moments", memory.optimizer, size(memory.optimizer)],
        [f"activations, {asked.name} handout's list", memory.activations.total, size(memory.activations.total)],
        [f"activations, {cfg.backend} model", kept.total, size(kept.total)],
    ]
    fits: list[str] = []
    if isinstance(where, Device):
        label = where.memory_bytes // GB
        rooms = [
            [
                f"memory of {label} {unit}",
                *(max_batch_size(cfg, label * each, S, activations=how, edition=asked.name) for how in _LISTS),
            ]
            for unit, each in (("GB", GB), ("GiB", GIB))
        ]
        fits = ["", table(["Largest batch", f"{asked.name} handout's list", f"{cfg.backend} model"], rooms)]
    return "\n".join(
        [
            f"Memory of a training step in float32, batch {B:,}, context {S:,}",
            table(["", "bytes", ""], rows),
            "",
            breakdown_table(f"Activations, {asked.name} handout's list", memory.activations, "bytes"),
            *_left_out(cfg, S, B, asked, memory.activations.total),
            "",
            breakdown_table(f"Activations, {cfg.backend} model", kept, "bytes"),
            *fits,
        ]
    )


def _lacks(cfg: ModelConfig, asked: Edition) -> bool:
    """Whether an edition's list is of two matrices, and the model's feed-forward network has three."""
    return cfg.ffn == "swiglu" and not asked.gated_list


def _left_out(cfg: ModelConfig, S: int, B: int, asked: Edition, counted: int) -> list[str]:
    """Say what the list of 2025 leaves out of a model with a gate."""
    if not _lacks(cfg, asked):
        return []
    whole = training_memory(cfg, B, S, edition="2026").activations.total
    return [
        "That list is of two matrices, and this model has three: the output of the third",
        f"and the product with it are left out, {size(whole - counted)}.",
    ]


def _time(cfg: ModelConfig, S: int, B: int, where: Device | float, dtype: str, mfu: float, steps: int | None) -> str:
    count = (
        check_count("steps", steps) if steps is not None else max(1, round(20 * parameter_count(cfg).total / (B * S)))
    )
    seconds = training_time(cfg, count, B, where, mfu=mfu, dtype=dtype, context_length=S)
    name, source = "a device", ""
    if isinstance(where, Device):
        name, source = f"one {where.name}", f"\n({dtype}; {where.source})"
    return (
        f"Time of {count:,} steps of {B:,} x {S:,} = {count * B * S:,} tokens\n"
        f"{duration(seconds)} on {name} at {100 * mfu:g} % of {peak_flops(where, dtype) / 1e12:g} TFLOP/s{source},\n"
        f"{count * B * S / seconds:,.0f} tokens per second."
    )


def _roofline(cfg: ModelConfig, S: int, B: int, where: Device, dtype: str) -> str:
    rows = [
        [p.component, f"{p.intensity:.1f}", f"{p.attainable / 1e12:.1f}", p.bound, duration(p.seconds)]
        for p in roofline(cfg, where, S, B, dtype=dtype)
    ]
    ridge = where.peak(dtype) / where.bandwidth
    head = ["component", "FLOPs per byte", "TFLOP/s at most", "bound by", "least time"]
    return (
        f"Roofline of a forward pass, {where.name}, {dtype}:\nridge at {ridge:.1f} FLOPs per byte\n{table(head, rows)}"
    )


def _decoding(cfg: ModelConfig, S: int, B: int, where: Device, dtype: str) -> str:
    rows = []
    for batch in sorted({1, B, 64}):
        step = decode_time(cfg, where, S - 1, batch, dtype=dtype)
        cache = kv_cache_bytes(cfg, S, batch, bytes_per_value=BYTES[dtype])
        rows.append([batch, size(cache), duration(step.seconds), f"{step.tokens_per_second:,.0f}"])
    head = ["batch", "KV cache", "step, at least", "tokens/s, at most"]
    return f"Decoding with {S:,} tokens in the cache, {where.name}, {dtype}\n{table(head, rows)}"


def _handout(cfg: ModelConfig, asked: Edition) -> str:
    """Answer an edition's `adamw_accounting` for a model, and for two matrices where its list has two."""
    models = {"this model": cfg}
    if _lacks(cfg, asked):
        models = {"this model, gate left out": cfg}
        models["two matrices"] = cfg.replace(ffn="silu", d_ff=cfg.d_ff)
    columns = []
    for model in models.values():
        memory = training_memory(model, edition=asked.name)
        fits = [max_batch_size(model, ACCOUNTING_GB * unit, edition=asked.name) for unit in (GB, GIB)]
        seconds = training_time(model, ACCOUNTING_STEPS, ACCOUNTING_BATCH, asked.accounting_peak, mfu=ACCOUNTING_MFU)
        times = f"{seconds / HOUR:,.2f}", f"{seconds / DAY:,.2f}"
        counts = [f"{each:,}" for each in (memory.activations.total, memory.fixed, *fits, adamw_flops(model))]
        columns.append([*counts, *times])
    titles = ["(a) bytes per sequence", "(a) bytes fixed", f"(b) batch in {ACCOUNTING_GB} GB"]
    titles += [f"(b) batch in {ACCOUNTING_GB} GiB", "(c) AdamW's FLOPs", "(d) hours", "(d) days"]
    rows = list(zip(titles, *columns, strict=True))
    problem = find_problem("adamw_accounting").name(asked.name)
    return (
        f"Edition {asked.label}, problem {problem}\n"
        "(a), (b) memory in float32 and the largest batch, (c) FLOPs of a step,\n"
        f"(d) the time of {ACCOUNTING_STEPS:,} steps of {ACCOUNTING_BATCH:,} sequences at {100 * ACCOUNTING_MFU:g} % "
        f"of {asked.accounting_peak / 1e12:g} TFLOP/s\n" + table(["", *models], rows)
    )
