#!/usr/bin/env bash
# Since version 5 a Llama's config.json says how positions turn in `rope_parameters`; before, in `rope_scaling`, with the
# base beside it as `rope_theta`. A file that was edited by tools of both ages may hold all three.
#
# Expected: the newer object counts, or a file whose two bases disagree is refused.
# Seen: the older object counts as soon as it is there. It takes the base from beside it, the newer object's is dropped
# without a word, and a model trained with one base is computed with another.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check transformers==5.23.0
cat > "$work/rope.py" <<'PY'
import logging
from importlib.metadata import version

logging.disable(logging.WARNING)  # it says that there is no torch, which a configuration does not need

from transformers import LlamaConfig

NEW = {"rope_parameters": {"rope_type": "default", "rope_theta": 10000.0}}
BESIDE = {"rope_theta": 777.0}
OLD = {"rope_scaling": {"rope_type": "default"}}


def base(**given):
    sizes = {"hidden_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2}
    copied = {key: dict(value) if isinstance(value, dict) else value for key, value in given.items()}
    return LlamaConfig.from_dict({**sizes, **copied}).rope_parameters["rope_theta"]


seen = {
    "rope_parameters alone": base(**NEW),
    "and rope_theta beside it": base(**NEW, **BESIDE),
    "and rope_scaling, too": base(**NEW, **BESIDE, **OLD),
}
print(f"transformers {version('transformers')}")
for what, value in seen.items():
    print(f"{what:26}{value:8.0f}")
assert list(seen.values()) == [10000.0, 10000.0, 777.0]
PY
"$work/venv/bin/python" "$work/rope.py"
