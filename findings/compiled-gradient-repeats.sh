#!/usr/bin/env bash
# The gradient of an embedding table on a CPU with two threads. Run eagerly, torch adds the rows up in one order, and the
# gradient is the same to the last bit each time. The code that torch.compile makes adds them with atomic operations, in
# whatever order the threads come: two calls with equal inputs differ in their last digits, and so do two trainings with
# one seed. torch.use_deterministic_algorithms(True) before compiling gives one order again.
#
# Expected: what repeats eagerly repeats compiled.
# Seen: of 49 further eager calls none differs from the first, of 49 compiled ones nearly all, with the switch none.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0 numpy==2.4.6
cat > "$work/repeats.py" <<'PY'
import torch

torch.manual_seed(0)
torch.set_num_threads(2)
ids, weights = torch.randint(0, 64, (64, 256)), torch.randn(64, 256, 32)


def loss(table):
    return (torch.nn.functional.embedding(ids, table) * weights).sum()


def different(function):
    """How many of 49 further gradients are not the first one."""
    gradients = []
    for _ in range(50):
        table = torch.zeros(64, 32, requires_grad=True)
        gradients += torch.autograd.grad(function(table), table)
    return sum(not torch.equal(one, gradients[0]) for one in gradients[1:])


eager, compiled = different(loss), different(torch.compile(loss))
torch.use_deterministic_algorithms(True)
torch._dynamo.reset()
switched = different(torch.compile(loss))
print(f"torch {torch.__version__}, 2 threads: {eager} eager, {compiled} compiled, {switched} with the switch, of 49")
assert eager == switched == 0
assert compiled > 0
PY
cd "$work"
"$work/venv/bin/python" repeats.py
