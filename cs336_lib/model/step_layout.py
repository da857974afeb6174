"""Where things are in the memory of a compiled step: what `kernels.py` reads and `compiled_step.py` writes.

Only numbers, no numba: the kernels' own process needs these, and so does everybody else's.
"""

LANES = 16
"""Numbers side by side; a matrix's outputs and a head's channels are taken by so many."""

# Places in `plan`; a gain that the model does not have is at -1.
LAYERS, WIDTH, HEADS, HEAD, UNITS, VOCAB, ROWS, CAPACITY, WORK, GATED, ORDER, TURNED, FINAL, OUT, LAYER = range(15)
# Of each layer, from `LAYER` on:
LN1, Q_NORM, K_NORM, QKV, OUTPUT, LN2, UP, DOWN, LAYER_SIZE = range(9)
# In `numbers`:
SCALE, EPS, SHRINK = range(3)
# At ORDER, as `ModelConfig.norm` has them:
PRE, POST, NO_NORM = range(3)
