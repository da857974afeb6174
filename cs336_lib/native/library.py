"""Compiled kernels on disk: numba is asked once, later starts load machine code without importing it.

    prepare         another process: numba compiles the kernels (seconds) -> LLVM text -> object code -> cache folder
    load            cache folder -> object code -> llvmlite's linker (milliseconds) -> ctypes functions

Work that plain Python finishes sooner never waits for a compiler: it asks `is_ready`, and calls `prepare` when the
kernels will be worth having. `load` waits for what is being prepared, and compiles by itself if nobody does.

This is why a warm call takes a tenth of a second: importing numba and unpickling its own per-function caches would take
half a second. ctypes calls release the GIL, so threads run kernels side by side.

The file's name is a digest of everything the machine code depends on (see `_key`), so an upgrade never loads stale
code; a cache folder that can't be written only costs the compile time in each process.
"""

import ctypes
import functools
import hashlib
import importlib
import importlib.util
import json
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import cs336_lib
from cs336_lib.native.cache import cache_folder, has_cached, read_cached, write_cached

if TYPE_CHECKING:
    from cs336_lib.native.background import Compilation

PADDING = 128
"""Bytes that must be readable behind the end of a text that a kernel gets: kernels load 64 at a time."""


class KernelLibrary:
    """The kernels of one task, compiled together and loaded together.

    Args:
        name: of the task; used in messages and in the cache.
        modules: dotted names of the modules that hold the kernels and all that they call; their source is in the key.
    """

    def __init__(self, name: str, modules: tuple[str, ...]) -> None:
        self.name = name
        self.modules = modules
        self._functions: dict[str, Callable[..., int]] | None = None
        self._types: dict[str, tuple[int, list[str]]] = {}
        self._engine: Any = None
        self._lock = threading.Lock()
        self._compilation: Compilation | None = None
        self._starting = threading.Lock()

    def __getattr__(self, kernel_name: str) -> Callable[..., int]:
        """A kernel by its name, as a function of numpy arrays, addresses and integers."""
        if kernel_name.startswith("__"):
            raise AttributeError(kernel_name)
        functions = self.load()
        try:
            function = functions[kernel_name]
        except KeyError:
            raise AttributeError(f"no kernel {kernel_name!r} in {self.name!r}; it has {sorted(functions)}") from None
        setattr(self, kernel_name, function)
        return function

    def by_address(self, kernel_name: str) -> Callable[..., int]:
        """A kernel as a function of addresses and integers alone: nothing is checked, and a call costs a tenth."""
        self.load()
        address, argument_types = self._types[kernel_name]
        unchecked = (ctypes.c_void_p if name.endswith("*") else ctypes.c_int64 for name in argument_types)
        return ctypes.CFUNCTYPE(ctypes.c_int64, *unchecked)(address)

    def is_ready(self) -> bool:
        """Whether the kernels can be used without compiling: they are loaded, or wait in the cache folder."""
        return self._functions is not None or has_cached(self._cache_name())

    def prepare(self) -> bool:
        """Have the kernels compiled by another process, unless they are ready or that was begun; returns at once.

        Returns:
            Whether waiting makes sense: False if they are not ready and the other process ended without them (the cache
            folder can't be written, say); then only `load` will do.
        """
        from cs336_lib.native.background import Compilation

        with self._starting:
            if self._compilation is None and not self.is_ready():
                self._compilation = Compilation(self.name, self.modules)
        return self._compilation is None or not self._compilation.has_ended() or self.is_ready()

    def compile_to_cache(self) -> bool:
        """Compile the kernels into the cache folder, and tell whether they are there now.

        Of several processes that are asked for the same at once, one does it.
        """
        from cs336_lib.locks import held

        with suppress(OSError), held(cache_folder() / f"{self._cache_name()}.lock", "", wait=lambda line: None):
            return self.is_ready() or write_cached(self._cache_name(), _compile_modules(self.modules))
        return False

    def load(self) -> dict[str, Callable[..., int]]:
        """Load the kernels; if the cache folder has no copy, wait until they are prepared, or compile them.

        Returns:
            Functions by name. Thread-safe; the work is done once in a process.
        """
        with self._lock:
            if self._functions is None:
                stored = read_cached(self._cache_name())
                if stored is None and self._compilation is not None:
                    self._compilation.wait()
                    stored = read_cached(self._cache_name())
                if stored is None:
                    stored = self._compile()
                self._functions = self._link(stored)
            return self._functions

    @functools.cache  # noqa: B019 - libraries are module constants
    def _cache_name(self) -> str:
        return f"kernels-{self.name}-{_key(self.modules)}.bin"

    def _compile(self) -> bytes:
        print(
            f"cs336_lib: compiling the {self.name} kernels, once for this version (about 10 s) ...",
            file=sys.stderr,
            flush=True,
        )
        started = time.perf_counter()
        stored = _compile_modules(self.modules)
        if not write_cached(self._cache_name(), stored):
            print(
                f"cs336_lib: {cache_folder()} can't be written, so every start compiles anew"
                f" ({time.perf_counter() - started:.0f} s); set CS336_CACHE_DIR to a folder that can",
                file=sys.stderr,
                flush=True,
            )
        return stored

    def _link(self, stored: bytes) -> dict[str, Callable[..., int]]:
        first_line, _, machine_code = stored.partition(b"\n")
        header = json.loads(first_line)
        self._engine = _execution_engine(machine_code, header["named"])
        functions: dict[str, Callable[..., int]] = {}
        for name, (symbol, argument_types) in header["kernels"].items():
            prototype = ctypes.CFUNCTYPE(ctypes.c_int64, *map(_argument, argument_types))
            address = self._engine.get_function_address(symbol)
            functions[name] = prototype(address)
            self._types[name] = address, argument_types
        return functions


def _key(modules: tuple[str, ...]) -> str:
    """Digest of all that the machine code depends on: our source, the compilers and the processor."""
    import llvmlite
    import llvmlite.binding as llvm

    parts = [
        cs336_lib.__version__,
        sys.implementation.cache_tag,
        llvmlite.__version__,
        np.__version__,
        _numba_version(),
        llvm.get_process_triple(),
        llvm.get_host_cpu_name(),
        llvm.get_host_cpu_features().flatten(),
        *sorted(f"{name}={value}" for name, value in os.environ.items() if _steers_numba(name)),
    ]
    digest = hashlib.sha256("\0".join(parts).encode())
    for module in (*modules, __name__):
        digest.update(_source(module))
    return digest.hexdigest()[:24]


_NO_MATTER = ("DISABLE_JIT", "NUM_THREADS", "CACHE_DIR")  # nor the first: kernels are compiled all the same


def _steers_numba(variable: str) -> bool:
    """Whether an environment variable may change what numba makes of a kernel."""
    return variable.startswith("NUMBA_") and variable.removeprefix("NUMBA_") not in _NO_MATTER


def _source(module: str) -> bytes:
    spec = importlib.util.find_spec(module)
    assert spec is not None and spec.origin is not None, module
    return Path(spec.origin).read_bytes()


def _numba_version() -> str:
    """What tells numba's releases apart, without the quarter of a second that importing it takes."""
    if "numba" in sys.modules:
        folder = Path(sys.modules["numba"].__file__ or "").parent
    else:
        spec = importlib.util.find_spec("numba")
        if spec is None or spec.origin is None:
            raise ImportError("cs336_lib.bpe compiles its kernels with numba: pip install 'numba>=0.60'")
        folder = Path(spec.origin).parent
    return (folder / "_version.py").read_text()


def _compile_modules(modules: tuple[str, ...]) -> bytes:
    """Compile every `@kernel` of the modules.

    Returns:
        One line of JSON, then the object code. The line has "kernels", {name: [symbol, [argument type, ...]]}, and
        "named", the functions and variables outside that the code has names of.
    """
    with _jit_enabled(modules):
        return _compile_enabled(modules)


@contextmanager
def _jit_enabled(modules: tuple[str, ...]) -> Iterator[None]:
    """Let numba compile although NUMBA_DISABLE_JIT is set: that is for debugging the user's own functions.

    Raises:
        RuntimeError: kernels were imported before as plain functions, which can't be undone.
    """
    import numba

    config: Any = numba.config
    disabled = config.DISABLE_JIT
    config.DISABLE_JIT = False
    try:
        if disabled and any(module in sys.modules for module in modules if module.endswith(".kernels")):
            raise RuntimeError("NUMBA_DISABLE_JIT is set, so kernels can't be compiled; unset it and start anew")
        yield
    finally:
        config.DISABLE_JIT = disabled


def _compile_enabled(modules: tuple[str, ...]) -> bytes:
    import llvmlite.binding as llvm

    kernel_class = importlib.import_module("cs336_lib.native.types").Kernel
    kernels, linked = {}, None
    for module in modules:
        for value in vars(importlib.import_module(module)).values():
            if isinstance(value, kernel_class) and value.function.__module__ == module:
                symbol, text = value.compile()
                kernels[value.name] = [symbol, value.argument_types]
                compiled = llvm.parse_assembly(text)
                if linked is None:
                    linked = compiled
                else:
                    linked.link_in(compiled)
    assert linked is not None, modules
    outside = (one.name for one in (*linked.functions, *linked.global_variables) if one.is_declaration)
    header = {"kernels": kernels, "named": [name for name in outside if not name.startswith("llvm.")]}
    return json.dumps(header).encode() + b"\n" + _target_machine().emit_object(linked)


def _target_machine() -> Any:
    import llvmlite.binding as llvm

    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    return llvm.Target.from_triple(llvm.get_process_triple()).create_target_machine(
        cpu=llvm.get_host_cpu_name(),
        features=llvm.get_host_cpu_features().flatten(),
        opt=3,
        reloc="default",
        codemodel="jitdefault",
        jit=True,
    )


def _execution_engine(machine_code: bytes, named: Sequence[str]) -> Any:
    import llvmlite.binding as llvm

    engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), _target_machine())
    # numba's entry code names functions and variables of numba's and of Python's for reporting an exception. Kernels
    # raise none, but where the linker misses one address, it says nothing and gives no others either: not even that of
    # memset, which the compiler may make of a loop.
    for unused in named:
        if llvm.address_of_symbol(unused) is None:
            llvm.add_symbol(unused, ctypes.cast(ctypes.pythonapi.PyErr_Clear, ctypes.c_void_p).value)
    engine.add_object_file(llvm.ObjectFileRef.from_data(machine_code))
    engine.finalize_object()
    return engine


def _argument(type_name: str) -> Any:
    return _pointer_to(type_name[:-1]) if type_name.endswith("*") else ctypes.c_int64


@functools.cache
def _pointer_to(item_type: str) -> type:
    """A ctypes argument type that takes a C-contiguous array of that item type, its address as int, or bytes."""
    dtype = np.dtype(item_type)

    class Pointer(ctypes.c_void_p):
        @classmethod
        def from_param(cls, value: Any) -> Any:
            if isinstance(value, np.ndarray):
                if value.dtype != dtype or not value.flags.c_contiguous:
                    raise TypeError(f"kernel wants a contiguous {dtype} array, got {value.dtype}, {value.strides=}")
                return ctypes.c_void_p(value.ctypes.data)
            return ctypes.c_void_p.from_param(value)

    return Pointer
