#!/usr/bin/env bash
# A forward hook on all modules is gone when its handle removes it, but one that was registered with with_kwargs=True leaves a
# mark behind, in the dictionary of those that take keywords. Nothing is called any more, yet torch.compile warns of
# global hooks for the rest of the process. The hook of a single module leaves nothing.
#
# Seen: marks left by a plain hook on all modules 0, by one with keywords 1; by those of one module 0 and 0.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0 numpy==2.4.6
"$work/venv/bin/python" - <<'PY'
import warnings

import torch
from torch import nn
from torch.nn.modules import module as hooks


def left_by_all(**options):
    before = len(hooks._global_forward_hooks_with_kwargs)
    hooks.register_module_forward_hook(lambda *given: None, **options).remove()
    return len(hooks._global_forward_hooks_with_kwargs) - before


def left_by_one(**options):
    linear = nn.Linear(2, 2)
    linear.register_forward_hook(lambda *given: None, **options).remove()
    return len(linear._forward_hooks_with_kwargs)


def warned():
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        torch.compile(nn.Linear(2, 2), backend="eager")(torch.ones(1, 2))
    return any("global hooks" in str(one.message) for one in caught)


one = left_by_one(), left_by_one(with_kwargs=True)
plain, first = left_by_all(), warned()
keywords, then = left_by_all(with_kwargs=True), warned()
print("marks of a hook on all modules: plain", plain, "with keywords", keywords)
print("marks of a hook on one module:  plain", one[0], "with keywords", one[1])
print("torch.compile warns of global hooks: after the plain one", first, "after the other", then)
assert (plain, keywords, one, first, then) == (0, 1, (0, 0), False, True)
PY
