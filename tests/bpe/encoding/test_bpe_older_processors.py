"""Processors without AVX-512 take other steps to the same ids and counts."""

import hashlib
import os
import platform
import subprocess
import sys

import numpy as np
import pytest
from bpe_texts import SCRIPTS, small_tokenizer

from cs336_lib.bpe.counting.word_table import SpecialTable, WordTable, padded
from cs336_lib.bpe.encoding.compiled import CompiledEncoder
from cs336_lib.bpe.vocabulary import Vocabulary

TEXT = ("".join(SCRIPTS) + " the cat's 42 mats;\n\n" + "".join(f" word{k} {k % 7}" for k in range(3000))) * 3


def figures() -> str:
    """A digest of ids and counts."""
    tokenizer, text = small_tokenizer(), TEXT.encode()
    encoder = CompiledEncoder(Vocabulary(tokenizer.vocab, tokenizer.merges, tokenizer.special_tokens))
    ids = np.concatenate([encoder.encode(text), encoder.encode(text)])  # known words the second time
    table = WordTable()
    for _ in range(2):
        table.count(padded(text), len(text), SpecialTable([]))
    counts = sorted(table.words().items())
    return hashlib.sha256(ids.tobytes() + repr(counts).encode()).hexdigest()


OLDER = """
import llvmlite.binding as llvm
features = llvm.get_host_cpu_features()
base = {"sse2", "fxsr", "cx8", "mmx", "sse", "64bit"}
for name in list(features):
    kept = LEVEL == "avx2" and "512" not in name and features[name]
    features[name] = name in base or bool(kept)
llvm.get_host_cpu_features = lambda: features
llvm.get_host_cpu_name = lambda: "x86-64"
import test_bpe_older_processors as test
from cs336_lib.native import eights, intrinsics
assert not eights.PACKS_HALVES and not intrinsics.PACKS_BYTES
print(test.figures())
"""


@pytest.mark.skipif(platform.machine().lower() not in ("x86_64", "amd64"), reason="names of x86-64's instructions")
@pytest.mark.parametrize("level", ["sse2", pytest.param("avx2", marks=pytest.mark.slow)])
def test_an_older_processor_gives_the_same(level, tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", f"LEVEL = {level!r}\n{OLDER}"],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "CS336_CACHE_DIR": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == figures()
