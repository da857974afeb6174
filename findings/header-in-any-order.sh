#!/usr/bin/env bash
# A safetensors file begins with a header, JSON that names the tensors and may say more about the file, as pairs of strings
# (`metadata=`). Hubs, caches and backups tell files apart by the hash of their bytes.
#
# Expected: the same tensors with the same metadata make the same file.
# Seen: with two pairs or more they are written in any order, and the same call makes different files, even in one process.
# With one pair, as transformers writes it, or none, files are equal. What is read back is the same each time.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check safetensors==0.8.0 numpy==2.4.6
cat > "$work/order.py" <<'PY'
from importlib.metadata import version

import numpy as np
from safetensors.numpy import load, save

TENSORS = {"weight": np.arange(6, dtype=np.float32)}
PAIRS = {"format": "np", "source": "a", "license": "b", "epoch": "3"}
TIMES = 200


def files(metadata):
    return {save(TENSORS, metadata=metadata) for _ in range(TIMES)}


print(f"safetensors {version('safetensors')}: {TIMES} times the same call")
counts = {}
for pairs in (0, 1, 2, 4):
    made = files(dict(list(PAIRS.items())[:pairs]) or None)
    counts[pairs] = len(made)
    print(f"{pairs} pairs: {len(made)} different file{'s' if len(made) > 1 else ''}")
    assert all((load(file)["weight"] == TENSORS["weight"]).all() for file in made)
assert counts[0] == counts[1] == 1
assert counts[2] == 2 and counts[4] > 10
PY
"$work/venv/bin/python" "$work/order.py"
