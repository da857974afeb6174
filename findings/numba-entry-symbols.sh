#!/usr/bin/env bash
# Machine code that numba.cfunc emits can't always be linked by llvmlite alone. As soon as the function calls a jitted helper,
# its entry code names numba_gil_ensure and numba_gil_release - also under error_model=numpy, where the helper can raise
# nothing. Only numba's own runtime gives the two an address, so whoever stores the object code and loads it later
# without importing numba must do that first. The same loop written inline needs neither.
#
# Seen: with a helper both symbols are declared in the LLVM module, without one neither is.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check numba==0.68.1 llvmlite==0.50.0 numpy==2.4.6
"$work/venv/bin/python" - <<'PY'
import re

from numba import cfunc, njit, types

SIGNATURE = types.int64(types.CPointer(types.int64), types.int64)


@njit(error_model="numpy")
def total(numbers, count):
    sum_ = 0
    for i in range(count):
        sum_ += numbers[i]
    return sum_


def with_helper(numbers, count):
    return total(numbers, count)


def inline(numbers, count):
    sum_ = 0
    for i in range(count):
        sum_ += numbers[i]
    return sum_


def declared(function):
    text = cfunc(SIGNATURE, error_model="numpy")(function).inspect_llvm()
    return sorted(set(re.findall(r"@(numba_gil_\w+)", text)))


print("with a helper:", declared(with_helper))
print("inline:       ", declared(inline))
assert declared(with_helper) == ["numba_gil_ensure", "numba_gil_release"]
assert declared(inline) == []
PY
