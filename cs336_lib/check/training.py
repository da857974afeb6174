"""`cs336 check --train`: a tiny model of the reader's beside ours, on stories whose entropy is known exactly."""

from __future__ import annotations

import math
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO

from tqdm.auto import tqdm

from cs336_lib.check.material import ours, prepare
from cs336_lib.check.processes import Runs
from cs336_lib.check.project import Project
from cs336_lib.data import tales
from cs336_lib.optim import cosine_schedule

SHAPE = {"context_length": 64, "d_model": 64, "num_layers": 2, "num_heads": 4, "d_ff": 192}
STEPS, BATCH, SAME = 300, 16, 25
ADAMW = {"betas": (0.9, 0.99), "eps": 1e-8, "weight_decay": 0.01}
# Five seeds of our own batches ended within 0.03 of each other.
MARGIN = 0.1
# The legal forms of AdamW, and kernels that add up in another order, stay below this over the first steps.
LOSS_APART, NORM_APART = 5e-3, 2e-2


@dataclass
class Curve:
    """A run: its losses and gradient norms by step, its validation loss, and why it ended early."""

    losses: list[float] = field(default_factory=list)
    norms: list[float] = field(default_factory=list)
    valid: float = math.nan
    why: str = ""


def trained(project: Project, memory_gib: float, stream: TextIO | None) -> dict[str, Any]:
    """Train both for the same steps from the same weights and say where they part.

    The first steps use the same batches, so that losses and gradients can be compared number by number; after them the
    reader's own get_batch draws.

    Args:
        project: the reader's.
        memory_gib: what the process may allocate.
        stream: where the progress goes.

    Returns:
        Plain data: "ok", "says" (sentences), "yours" and "ours" (losses), "valid", "floor".
    """
    rates = [cosine_schedule(step, 5e-3, 5e-4, 20, STEPS) for step in range(STEPS)]
    with tempfile.TemporaryDirectory(prefix="cs336-check-") as folder:
        material = prepare(Path(folder), SHAPE, STEPS, BATCH)
        floor = tales.entropy(material.tokenizer).nats_per_token
        assert floor is not None
        job = {"task": "train", "rates": rates, "same": SAME, "adamw": ADAMW, **material.job}
        quiet = stream is None or not stream.isatty()
        with (
            tqdm(total=2 * STEPS, desc="training both", unit="step", file=stream, leave=False, disable=quiet) as bar,
            Runs(project, memory_gib=memory_gib) as mine,
            Runs(ours(), memory_gib=memory_gib) as theirs,
            ThreadPoolExecutor(2) as pool,
        ):
            futures = [pool.submit(_run, runs, job, bar) for runs in (mine, theirs)]
            try:
                yours, right = (future.result() for future in futures)
            except BaseException:  # Ctrl-C must not wait for the runs to end
                mine.stop()
                theirs.stop()
                raise
    says, ok = compare(yours, right, floor)
    if stream:
        print("\ntraining a tiny model: " + "\n  ".join(says), file=stream)
    return {
        "ok": ok,
        "says": says,
        "yours": yours.losses,
        "ours": right.losses,
        "valid": {"yours": None if math.isnan(yours.valid) else yours.valid, "ours": right.valid},
        "norms": {"yours": yours.norms[:SAME], "ours": right.norms[:SAME]},
        "floor": floor,
    }


def _run(runs: Runs, job: dict[str, Any], bar: tqdm) -> Curve:
    curve = Curve()
    while True:
        stumbled = len(runs.skip)
        for event in runs.events(job):
            if event["event"] == "step":
                curve.losses.append(event["loss"])
                curve.norms.append(event["norm"])
                bar.update()
            elif event["event"] == "trained":
                curve.valid = event["valid"]
            elif event["event"] == "stopped" or (event["event"] == "ended" and math.isnan(curve.valid)):
                curve.why = curve.why or event["why"]
        if len(runs.skip) == stumbled:
            return curve
        curve.why = ""  # a line of the adapters that hangs or kills is left out of the next try


def compare(yours: Curve, ours: Curve, floor: float) -> tuple[list[str], bool]:
    """Say in sentences what two runs show, and whether yours is as good.

    >>> run = Curve([3.0, 2.5], [1.0, 0.9], 2.0)
    >>> compare(run, run, 1.0)[1]
    True
    >>> compare(Curve([3.0, 3.0], [1.0, 1.0], 3.0), run, 1.0)[0][0]
    'the runs part at step 1: the loss is 3.0000, ours 2.5000. Step 0 agrees, so look at the optimizer.'
    """
    if ours.why:
        return [f"this library's own run failed ({ours.why}), so there is nothing to compare with"], True
    if not yours.losses:
        return [f"yours could not be trained: {yours.why}"], False
    says = [_parting(yours, ours)]
    if yours.why or math.isnan(yours.valid):
        at = len(yours.losses)
        return [*says, f"yours stopped after {at} of {len(ours.losses)} steps: {yours.why or 'it is NaN'}"], False
    good = yours.valid <= ours.valid + MARGIN
    says.append(
        f"validation loss after {len(ours.losses)} steps: {yours.valid:.3f} nats per token, ours {ours.valid:.3f}; the "
        f"entropy of the stories, which no model can beat on average, is {floor:.3f}"
    )
    says.append("yours learns as well as ours" if good else f"yours ends {yours.valid - ours.valid:.2f} above ours")
    return says, good and "part at" not in says[0]


def _parting(yours: Curve, ours: Curve) -> str:
    """Where the curves part, while both see the same batches."""
    steps = list(zip(yours.losses, ours.losses, yours.norms, ours.norms, strict=False))[:SAME]
    for step, (loss, right, norm, right_norm) in enumerate(steps):
        if not abs(loss - right) <= LOSS_APART * (1 + right):
            where = f"the runs part at step {step}: the loss is {loss:.4f}, ours {right:.4f}. "
            if step == 0:
                return where + "Nothing is learned yet, so look at the model and the loss."
            return where + f"Step {step - 1} agrees, so look at the optimizer."
        if not abs(norm - right_norm) <= NORM_APART * (1 + right_norm):
            where = f"the runs part at step {step}: the gradients have norm {norm:.4f}, ours {right_norm:.4f}. "
            return where + (
                "The loss agrees: something cuts gradients off (detach, .data, no_grad), or the model differs where "
                "small first weights hide it; the checks of the model tell which."
            )
    return f"losses and gradient norms agree over the first {len(steps)} steps, which see the same batches"
