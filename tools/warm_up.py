"""Compile all kernels, so that no page and no check of a notebook meets a compiler and what it prints."""

import argparse

from cs336_lib.bpe import compile_kernels
from cs336_lib.data.tales.kernel import TALES

if __name__ == "__main__":
    argparse.ArgumentParser(description=__doc__).parse_args()
    TALES.prepare()
    compile_kernels()
    TALES.load()
