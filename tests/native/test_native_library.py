"""Kernels are compiled once, kept, and loaded without numba; a bad cache folder costs time and nothing else."""

import ast
import importlib
import importlib.util
import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

import cs336_lib
from cs336_lib.bpe.counting.word_table import COUNTING
from cs336_lib.bpe.encoding.workspace import KERNELS
from cs336_lib.bpe.merging.merger import MERGING
from cs336_lib.data.tales.kernel import TALES
from cs336_lib.native import cache as cache_folder
from cs336_lib.native import library as kernel_library
from cs336_lib.native.cache import read_cached, write_cached
from cs336_lib.native.library import KernelLibrary

HERE = Path(__file__).parent


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("CS336_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache"


def tiny() -> KernelLibrary:
    return KernelLibrary("tiny", ("tiny_kernels",))


def uses_of_tiny(library: KernelLibrary) -> None:
    values = np.array([1, -2, 2**40], np.int64)
    assert library.double_all(values, 3) == 3
    assert values.tolist() == [2, -4, 2**41]
    assert library.sum_bytes(b"abc", 3) == 97 + 98 + 99


def test_kernels_take_arrays_addresses_and_bytes(folder):
    library = tiny()
    array = np.array([1, 2, 3], np.uint8)
    assert library.sum_bytes(array, 3) == 6
    assert library.sum_bytes(array.ctypes.data, 3) == 6
    assert library.sum_bytes(b"\1\2\3", 3) == 6


def test_first_use_says_what_it_does_and_later_ones_are_silent(folder, capsys):
    assert not tiny().is_ready()
    uses_of_tiny(tiny())
    said = capsys.readouterr()
    assert re.fullmatch(r"cs336_lib: compiling the tiny kernels, .*\n", said.err)
    assert said.out == ""
    assert tiny().is_ready()
    uses_of_tiny(tiny())
    assert capsys.readouterr().err == ""


def test_another_process_prepares_them_and_nobody_waits(folder, capfd):
    library = tiny()
    assert library.prepare()
    assert "numba" not in sys.modules or library._functions is None
    library._compilation.wait()
    assert library.is_ready() and library.prepare()
    uses_of_tiny(library)
    assert "compiling" not in capfd.readouterr().err
    started = library._compilation
    assert library.prepare() and library._compilation is started


def test_who_needs_what_is_being_prepared_waits_for_it_and_says_so(folder, capfd, monkeypatch):
    monkeypatch.setattr("cs336_lib.native.background.PATIENCE", 0.01)
    library = tiny()
    library.prepare()
    uses_of_tiny(library)
    assert re.fullmatch(r"cs336_lib: waiting for the tiny kernels, .* \d+ s\n", capfd.readouterr().err)


def test_two_that_prepare_the_same_compile_it_once(folder):
    first, second = tiny(), tiny()
    first.prepare()
    second.prepare()
    for library in (first, second):
        library._compilation.wait()
        assert library.is_ready()
    assert len(list(folder.glob("*.bin"))) == 1


@pytest.mark.parametrize("reason", ["the folder", "the interpreter"])
def test_preparing_that_fails_is_told_and_load_compiles(tmp_path, monkeypatch, reason, capfd):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("CS336_CACHE_DIR", str(tmp_path / ("file" if reason == "the folder" else "cache") / "cache"))
    if reason == "the interpreter":
        monkeypatch.setattr(sys, "executable", str(tmp_path / "none"))
    library = tiny()
    library.prepare()
    library._compilation.wait()
    assert not library.prepare() and not library.is_ready()
    uses_of_tiny(library)
    assert "compiling the tiny kernels" in capfd.readouterr().err


def test_wrong_arrays_are_refused_before_they_do_harm(folder):
    library = tiny()
    with pytest.raises(Exception, match="wants a contiguous int64 array, got float64"):
        library.double_all(np.zeros(3), 3)
    with pytest.raises(Exception, match="wants a contiguous int64 array, got int64"):
        library.double_all(np.zeros(6, np.int64)[::2], 3)
    with pytest.raises(AttributeError, match="no kernel 'triple_all' in 'tiny'; it has"):
        library.triple_all  # noqa: B018


@pytest.mark.parametrize("damage", ["truncated", "empty", "flipped", "foreign"])
def test_a_damaged_copy_is_compiled_anew(folder, damage, capsys):
    uses_of_tiny(tiny())
    (stored,) = folder.glob("kernels-tiny-*.bin")
    content = stored.read_bytes()
    stored.write_bytes(
        {
            "truncated": content[:-100],
            "empty": b"",
            "flipped": content[:200] + bytes([content[200] ^ 1]) + content[201:],
            "foreign": b"not ours",
        }[damage]
    )
    capsys.readouterr()
    uses_of_tiny(tiny())
    assert "compiling" in capsys.readouterr().err
    uses_of_tiny(tiny())
    assert capsys.readouterr().err == ""


def test_a_folder_that_cannot_be_written_only_costs_time(tmp_path, monkeypatch, capsys):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("CS336_CACHE_DIR", str(tmp_path / "file" / "cache"))
    uses_of_tiny(tiny())
    assert "can't be written, so every start compiles anew" in capsys.readouterr().err
    assert not tiny().is_ready()
    assert write_cached("name", b"content") is False
    assert read_cached("name") is None


def test_a_full_disk_leaves_nothing_half_written(folder, monkeypatch):
    def fail(self, content):
        with self.open("wb") as file:
            file.write(content[: len(content) // 2])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", fail)
    assert write_cached("name", b"content") is False
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize(
    "change",
    [
        lambda patch: patch.setattr(cs336_lib, "__version__", "99.0"),
        lambda patch: patch.setattr(kernel_library, "_numba_version", lambda: "99.0"),
        lambda patch: patch.setattr(np, "__version__", "99.0"),
        lambda patch: patch.setattr("llvmlite.__version__", "99.0"),
        lambda patch: patch.setattr("llvmlite.binding.get_host_cpu_name", lambda: "another"),
        lambda patch: patch.setattr(kernel_library, "_source", lambda module: b"edited " + module.encode()),
    ],
    ids=["cs336_lib", "numba", "numpy", "llvmlite", "processor", "source"],
)
def test_an_upgrade_never_loads_what_was_compiled_before(folder, change, monkeypatch):
    before = kernel_library._key(("tiny_kernels",))
    assert kernel_library._key(("tiny_kernels",)) == before
    change(monkeypatch)
    assert kernel_library._key(("tiny_kernels",)) != before


NOT_IN_THE_CODE = {"cs336_lib.native.cache", "cs336_lib.native.library"}
"""How machine code is stored and found; the key holds the second of them by itself."""


def imported_by(name: str) -> set[str]:
    """The modules of cs336_lib that a module imports, in whatever way and place."""
    found = set()
    for node in ast.walk(ast.parse(Path(importlib.import_module(name).__file__).read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            module = importlib.util.resolve_name("." * node.level + (node.module or ""), name.rpartition(".")[0])
            inner = {f"{module}.{alias.name}" for alias in node.names}
            modules = {one for one in inner if importlib.util.find_spec(module) and is_module(one)}
            found |= modules or {module}
    return {module for module in found if module.startswith("cs336_lib.")}


def is_module(name: str) -> bool:
    package, _, _ = name.rpartition(".")
    inside = getattr(importlib.import_module(package), "__path__", None)
    return inside is not None and importlib.util.find_spec(name) is not None


@pytest.mark.parametrize(
    ("variable", "matters"),
    [
        ("NUMBA_OPT", True),
        ("NUMBA_LOOP_VECTORIZE", True),
        ("NUMBA_NUM_THREADS", False),
        ("NUMBA_CACHE_DIR", False),
        ("NUMBA_DISABLE_JIT", False),
        ("OMP_NUM_THREADS", False),
    ],
)
def test_what_numba_is_told_by_the_environment_has_kernels_of_its_own(variable, matters, monkeypatch):
    monkeypatch.delenv(variable, raising=False)
    usual = tiny()._cache_name()
    monkeypatch.setenv(variable, "0")
    assert (tiny()._cache_name() != usual) is matters


@pytest.mark.parametrize("library", [COUNTING, MERGING, KERNELS, TALES], ids=lambda library: library.name)
def test_the_key_covers_every_module_that_kernels_are_made_of(library):
    looked_at = {name: imported_by(name) - NOT_IN_THE_CODE for name in library.modules}
    assert "cs336_lib.native.types" in looked_at[library.modules[0]]
    for name, imported in looked_at.items():
        assert imported <= set(library.modules), name


def test_threads_that_come_at_once_compile_once(folder, capsys):
    library = tiny()
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(uses_of_tiny, [library] * 8))
    assert capsys.readouterr().err.count("compiling") == 1


def test_a_kernel_must_say_that_it_returns_an_integer():
    kernel_types = importlib.import_module("cs336_lib.native.types")
    with pytest.raises(TypeError, match="kernel forgetful must be annotated to return Int"):

        @kernel_types.kernel
        def forgetful(size: kernel_types.Int):
            return size


def run(script: str, **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(HERE), *sys.path]), **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip()


def test_importing_the_room_imports_neither_numba_nor_numpy_nor_torch():
    assert run("import sys, cs336_lib.bpe; print(*sorted({'numba', 'numpy', 'torch'} & set(sys.modules)))") == ""


def test_kernels_that_are_compiled_run_without_numba(folder):
    uses_of_tiny(tiny())
    script = (
        "import sys; from cs336_lib.native.library import KernelLibrary; "
        "library = KernelLibrary('tiny', ('tiny_kernels',)); "
        "print(library.sum_bytes(b'abc', 3), 'numba' in sys.modules)"
    )
    assert run(script) == "294 False"


def test_a_loop_that_a_compiler_makes_a_call_of_finds_it_without_numba(folder):
    uses_of_tiny(tiny())
    script = (
        "import numpy, sys; from cs336_lib.native.library import KernelLibrary; "
        "words = numpy.ones(100_000, 'int64'); "
        "KernelLibrary('tiny', ('tiny_kernels',)).clear_words(words, len(words) - 1); "
        "print(words.sum(), 'numba' in sys.modules)"
    )
    assert run(script) == "1 False"
    assert b"memset" in read_cached(tiny()._cache_name()), "the compiler left the loop: nothing was tried"


@pytest.mark.parametrize("library", [COUNTING, KERNELS, MERGING, TALES], ids=lambda library: library.name)
def test_all_that_kernels_name_has_an_address_without_numba(library):
    # Where one has none, llvmlite's linker says nothing and gives the others none either.
    library.load()
    script = (
        "import json, sys; from cs336_lib.native.library import KernelLibrary; import llvmlite.binding as llvm; "
        "from cs336_lib.native.cache import read_cached; "
        f"library = KernelLibrary({library.name!r}, {library.modules!r}); library.load(); "
        "named = json.loads(read_cached(library._cache_name()).partition(b'\\n')[0])['named']; "
        "print([name for name in named if not llvm.address_of_symbol(name)], 'numba' in sys.modules)"
    )
    assert run(script) == "[] False"


def test_kernels_do_no_harm_to_numba_imported_afterward(folder):
    uses_of_tiny(tiny())
    script = (
        "from cs336_lib.native.library import KernelLibrary; "
        "library = KernelLibrary('tiny', ('tiny_kernels',)); library.sum_bytes(b'abc', 3)\n"
        "import numba\n"
        "@numba.cfunc('int64(int64)')\n"
        "def fails(x): raise ValueError('as it should')\n"
        "fails.ctypes(1); print(numba.config.CACHE_DIR == '', library.sum_bytes(b'abc', 3))"
    )
    assert run(script) == "True 294"


@pytest.mark.parametrize(
    ("platform", "environment", "expected"),
    [
        ("linux", {"HOME": "/home/me"}, "/home/me/.cache/cs336_lib"),
        ("linux", {"HOME": "/home/me", "XDG_CACHE_HOME": "/fast"}, "/fast/cs336_lib"),
        ("darwin", {"HOME": "/Users/me"}, "/Users/me/Library/Caches/cs336_lib"),
        ("linux", {"HOME": "/home/me", "CS336_CACHE_DIR": "/mine"}, "/mine"),
    ],
)
def test_the_folder_is_where_the_platform_keeps_caches(platform, environment, expected, monkeypatch):
    for name in ("CS336_CACHE_DIR", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys, "platform", platform)
    assert cache_folder.cache_folder().as_posix() == expected


def test_kernels_are_compiled_although_numba_is_told_not_to(folder, monkeypatch):
    monkeypatch.setenv("NUMBA_DISABLE_JIT", "1")
    script = (
        "from cs336_lib.native.library import KernelLibrary; "
        "library = KernelLibrary('tiny', ('tiny_kernels',)); print(library.sum_bytes(b'abc', 3)); "
        "import numba; print(bool(numba.config.DISABLE_JIT))"
    )
    assert run(script).split() == ["294", "True"]
