"""Compiled kernels for tests and processes that have a cache folder of their own, so that they compile none."""

import shutil

from cs336_lib.bpe import compile_kernels
from cs336_lib.data.tales.kernel import TALES
from cs336_lib.native.cache import cache_folder


def cache_with_kernels(folder):
    """Put all kernels into a new cache folder and return it; they are compiled if no test has done so."""
    TALES.prepare()
    compile_kernels()
    folder.mkdir(parents=True)
    for path in cache_folder().glob("kernels-*.bin"):
        shutil.copy2(path, folder)
    return folder
