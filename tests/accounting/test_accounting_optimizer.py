"""Fourteen FLOPs per parameter: counted line by line, and in what the optimizer really runs."""

import pytest
import torch
from accounting_counts import TINY, batch, loss
from torch.utils._python_dispatch import TorchDispatchMode

from cs336_lib.accounting import ADAMW_OPERATIONS, adamw_flops, parameter_count
from cs336_lib.model import TransformerLM
from cs336_lib.optim import AdamW

# Operations on each element of the result. An operation that is none of these fails the count.
ELEMENTWISE = {
    "mul": 1,
    "div": 1,
    "sub": 1,
    "sqrt": 1,
    "add": 1,
    "add_scaled": 2,
    "addcmul": 3,
    "addcdiv": 3,
    "lerp": 3,
}
FREE = {"zeros_like", "detach", "_to_copy", "empty_like", "promote_types"}  # make, move or ask; no arithmetic


class Elementwise(TorchDispatchMode):
    """Counts FLOPs of elementwise operations, in-place and foreach ones too."""

    def __init__(self):
        super().__init__()
        self.flops = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kind = func.overloadpacket.__name__.removeprefix("_foreach_").removesuffix("_")
        if func.namespace == "aten" and kind not in FREE and not func.is_view:
            if kind in ("add", "sub") and (kwargs or {}).get("alpha", 1) != 1:
                kind = "add_scaled"
            tensors = args[0] if isinstance(args[0], list | tuple) else [args[0]]
            if not isinstance(tensors[0], torch.Tensor):
                tensors = [next(a for a in args if isinstance(a, torch.Tensor))]
            self.flops += ELEMENTWISE[kind] * sum(t.numel() for t in tensors)
        return func(*args, **(kwargs or {}))


def test_the_lines_of_the_algorithm_add_up_to_fourteen():
    assert [len(operations) for operations in ADAMW_OPERATIONS.values()] == [2, 3, 4, 5]


def test_a_plain_transcription_of_the_algorithm_runs_fourteen():
    theta, g, m, v = torch.rand(4, 10).unbind()
    alpha, beta1, beta2, eps, decay = 0.1, 0.9, 0.99, 1e-8, 0.01
    with Elementwise() as counted:
        m = beta1 * m + (1 - beta1) * g
        v = beta2 * v + (1 - beta2) * (g * g)
        theta = theta - alpha * (m / (v.sqrt() + eps))
        theta = theta - (alpha * decay) * theta
    assert counted.flops == 14 * 10


@pytest.mark.parametrize("foreach", [False, True], ids=["loop", "foreach"])
@pytest.mark.parametrize("weight_decay", [0.0, 0.01])
def test_the_librarys_adamw_needs_one_less_since_decay_is_one_factor(foreach, weight_decay):
    model = TransformerLM(TINY)
    optimizer = AdamW(model.parameters(), foreach=foreach, weight_decay=weight_decay)
    for _ in range(2):  # the first step makes the moments
        loss(model, *batch(TINY, 1, 4)).backward()
        with Elementwise() as counted:
            optimizer.step()
        assert counted.flops == adamw_flops(TINY) - parameter_count(TINY).total == 13 * parameter_count(TINY).total
