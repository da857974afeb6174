#!/usr/bin/env bash
# An operation that is declared with torch.library.custom_op and given a gradient with register_autograd has a gradient
# backward only. Asked for a derivative forward (torch.func.jvp), torch neither uses the gradient nor refuses: it returns
# zero, in silence, eagerly and compiled.
#
# Expected: the derivative of 2 * x summed over four ones in the direction of ones, which is 8, or an error.
# Seen: 0; backward the same operation gives 2 for each.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0 numpy==2.4.6
cat > "$work/forward.py" <<'PY'
import warnings

import torch

warnings.simplefilter("error", UserWarning)


@torch.library.custom_op("finding::double", mutates_args=())
def double(x: torch.Tensor) -> torch.Tensor:
    return 2 * x


@double.register_fake
def _(x):
    return torch.empty_like(x)


double.register_autograd(lambda ctx, gradient: 2 * gradient)
ones = torch.ones(4, requires_grad=True)
backward = torch.autograd.grad(double(ones).sum(), ones)[0]


def forward(function):
    return torch.func.jvp(lambda x: function(x).sum(), (torch.ones(4),), (torch.ones(4),))[1]


found = {
    "2 * x": forward(lambda x: 2 * x),
    "the operation": forward(double),
    "compiled": torch.compile(lambda: forward(double), backend="aot_eager")(),
}
print(f"torch {torch.__version__}; backward {backward.tolist()}")
print("forward:", ", ".join(f"{name} {value.item():g}" for name, value in found.items()))
assert backward.tolist() == [2.0] * 4
assert [value.item() for value in found.values()] == [8.0, 0.0, 0.0]
PY
cd "$work"
"$work/venv/bin/python" forward.py
