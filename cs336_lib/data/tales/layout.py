"""Names for the kinds of steps, which the packed program and its kernels share: only numbers, no numba."""

END, WRITE, BRANCH, FILL, FILL_OTHER, CLOSE = range(6)
MAX_REGISTERS = 128
