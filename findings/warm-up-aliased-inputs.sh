#!/usr/bin/env bash
# A compiled function that is warmed up with one tensor for two arguments is compiled again at the first real call: the
# graph of the warm-up holds the guard "x is y". Same shapes, same types, same device: a clock that starts after such a
# warm-up counts the second compilation, and so does whoever counts graphs against the limit of recompilations.
#
# Seen: f(x, x) leaves one graph, f(x, y) then makes a second one; warmed up with two tensors there is one in all.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0 numpy==2.4.6
"$work/venv/bin/python" -W ignore - <<'PY'
import torch
from torch._dynamo.utils import counters


def graphs_after(warm_up, real):
    torch._dynamo.reset()
    counters.clear()
    function = torch.compile(lambda x, y: (x * y).sum(), backend="eager", dynamic=False)
    function(*warm_up)
    before = counters["stats"]["unique_graphs"]
    function(*real)
    return before, counters["stats"]["unique_graphs"]


one, other = torch.ones(3), torch.ones(3)
print("torch", torch.__version__)
print("warmed up with one tensor twice:", graphs_after((one, one), (one, other)))
print("warmed up with two tensors:     ", graphs_after((one, other), (other, one)))
assert graphs_after((one, one), (one, other)) == (1, 2)
assert graphs_after((one, other), (other, one)) == (1, 1)
PY
