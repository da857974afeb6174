"""Compiled kernels for every test of the room: without them the doors would answer in plain Python."""

import pytest


@pytest.fixture(scope="session", autouse=True)
def kernels():
    """All kernels, loaded."""
    from cs336_lib.bpe.counting.word_table import COUNTING
    from cs336_lib.bpe.encoding.workspace import KERNELS
    from cs336_lib.bpe.merging.merger import MERGING

    for library in (COUNTING, MERGING, KERNELS):
        library.load()
