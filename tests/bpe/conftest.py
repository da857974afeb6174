"""Compiled kernels for every test of the room: without them the doors would answer in plain Python."""

import pytest

from cs336_lib.bpe import compile_kernels


@pytest.fixture(scope="session", autouse=True)
def kernels():
    """All kernels, loaded."""
    compile_kernels()
