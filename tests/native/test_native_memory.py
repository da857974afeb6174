"""Large arrays of zeros: numpy's, but for where they lie."""

import mmap
import os
import subprocess
import sys
import weakref

import numpy as np
import pytest

from cs336_lib.native import memory
from cs336_lib.native.memory import HUGE_PAGE, zeros


@pytest.mark.parametrize("dtype", [np.uint8, np.int32, np.uint64])
@pytest.mark.parametrize("size", [0, 8, HUGE_PAGE - 8, HUGE_PAGE, HUGE_PAGE + 8, 3 * HUGE_PAGE + 64])
def test_they_are_numpys_zeros(dtype, size):
    expected = np.zeros(size // np.dtype(dtype).itemsize, dtype)
    found = zeros(len(expected), dtype)
    assert found.dtype == expected.dtype and found.shape == expected.shape
    assert np.array_equal(found, expected)
    assert found.flags.writeable and found.flags.c_contiguous and found.flags.aligned
    found[:] = 7
    assert found.sum() == 7 * len(expected)


@pytest.mark.parametrize("size", [HUGE_PAGE, 5 * HUGE_PAGE + 8])
def test_large_ones_begin_where_a_huge_page_can(size):
    for _ in range(3):
        assert zeros(size, np.uint8).ctypes.data % HUGE_PAGE == 0


def test_no_two_share_memory():
    first, second = zeros(HUGE_PAGE, np.uint8), zeros(HUGE_PAGE, np.uint8)
    first[:] = 1
    assert not second.any()


def test_memory_is_given_back_with_the_last_view(monkeypatch):
    class Mapping(mmap.mmap):
        """One that can be watched."""

    monkeypatch.setattr(memory.mmap, "mmap", Mapping)
    whole = zeros(HUGE_PAGE // 4 + 1, np.int32)
    mapping = whole.base
    while not isinstance(mapping, Mapping):
        mapping = mapping.obj if isinstance(mapping, memoryview) else mapping.base
    watched = weakref.ref(mapping)
    view = whole[5:9]
    del whole, mapping
    assert watched() is not None and view.tolist() == [0, 0, 0, 0]
    del view
    assert watched() is None


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no processes are forked here")
def test_what_a_forked_process_writes_stays_there():
    code = f"""
import os
from cs336_lib.native.memory import zeros
array = zeros({HUGE_PAGE}, "uint8")
child = os.fork()
if child == 0:
    array[:] = 1
    os._exit(0)
os.waitpid(child, 0)
print(int(array.sum()))
"""
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "0\n"


def _refuse(*given, **named):
    raise OSError("Cannot allocate memory")


def test_a_system_that_gives_no_mapping(monkeypatch):
    monkeypatch.setattr(memory.mmap, "mmap", _refuse)
    assert np.array_equal(zeros(HUGE_PAGE, np.uint8), np.zeros(HUGE_PAGE, np.uint8))


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux is asked for huge pages")
def test_a_system_without_huge_pages(monkeypatch):
    class Mapping(mmap.mmap):
        madvise = _refuse

    monkeypatch.setattr(memory.mmap, "mmap", Mapping)
    assert not zeros(HUGE_PAGE, np.uint8).any()
    monkeypatch.delattr(memory.mmap, "MADV_HUGEPAGE")
    assert not zeros(HUGE_PAGE, np.uint8).any()
