"""How a compiled kernel is declared: the types that its arguments may have, and the two decorators.

Kernels are Python functions that numba compiles. They see memory as C does: a pointer is indexed without bounds checks
and without negative indices, so `text[-1]` is the byte before, not the last one. They allocate and raise nothing: what
they need is handed in, and what they can't finish they return to the caller to grow.

    @inlined                                        a helper, called from other kernels
    def is_digit(byte): ...

    @kernel                                         an entry point, called from Python through its annotations
    def count_digits(text: Bytes, size: Int) -> Int: ...

This module imports numba, which takes a quarter of a second; only `library.py` imports kernels, and only when
the cache folder has no compiled copy.
"""

from collections.abc import Callable
from typing import Annotated, Any, get_type_hints

from numba import cfunc, njit, types

Int = Annotated[Any, "int64"]
Word = Annotated[Any, "uint64"]
Bytes = Annotated[Any, "uint8*"]
UInt16s = Annotated[Any, "uint16*"]
UInt32s = Annotated[Any, "uint32*"]
Int32s = Annotated[Any, "int32*"]
Int64s = Annotated[Any, "int64*"]
UInt64s = Annotated[Any, "uint64*"]
Number = Annotated[Any, "float32"]
Numbers = Annotated[Any, "float32*"]
Double = Annotated[Any, "float64"]
Doubles = Annotated[Any, "float64*"]

# numpy's rule for division by zero: with Python's a kernel could raise.
_OPTIONS: dict[str, Any] = {"error_model": "numpy", "no_cpython_wrapper": True, "no_cfunc_wrapper": True}


def inlined(function: Callable[..., Any]) -> Any:
    """Declare a helper of kernels; its annotations are for the reader.

    LLVM is not left to choose: it kept the helpers of the encoder's inmost loops as calls, and encoding lost a third.
    """
    return njit(forceinline=True, **_OPTIONS)(function)


def called(function: Callable[..., Any]) -> Any:
    """Declare a helper of kernels that stays a call: one with the work of a batch has the registers to itself."""
    return njit(**_OPTIONS)(function)


class Kernel:
    """An entry point: the function and the names of its argument types, compiled on demand."""

    def __init__(self, function: Callable[..., Any]) -> None:
        hints = get_type_hints(function, include_extras=True)
        if hints.pop("return", None) is not Int:
            raise TypeError(f"kernel {function.__name__} must be annotated to return Int")
        self.function = function
        self.name = function.__name__
        self.argument_types = [hint.__metadata__[0] for hint in hints.values()]

    def compile(self) -> tuple[str, str]:
        """Compile with numba.

        Returns:
            The symbol's name and the optimized LLVM module as text.
        """
        signature = types.int64(*(_numba_type(name) for name in self.argument_types))
        compiled = cfunc(signature, error_model="numpy")(self.function)
        return compiled.native_name, compiled.inspect_llvm()


def kernel(function: Callable[..., Any]) -> Kernel:
    """Declare an entry point; its annotations say how Python calls it."""
    return Kernel(function)


def _numba_type(name: str) -> types.Type:
    if name.endswith("*"):
        return types.CPointer(getattr(types, name[:-1]))
    return getattr(types, name)
