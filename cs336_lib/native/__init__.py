"""How Python becomes machine code and is found again: the only room that knows numba and llvmlite."""
