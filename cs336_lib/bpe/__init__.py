"""Byte-pair encoding: bytes to tokens and back (chapters 2 and 3). Never imports torch.

    train_bpe          a text file -> vocabulary and merges
    Tokenizer          text <-> ids
    PAT                GPT-2's pre-token pattern
    TextRules          what tokenizers of others do besides
    compile_kernels    before a clock starts

The names are imported on first use, so that `import cs336_lib.bpe` costs nothing; numba is imported only to compile,
and in a process of its own if plain Python can begin meanwhile.
"""

from typing import TYPE_CHECKING

from cs336_lib.doors import door

if TYPE_CHECKING:
    from cs336_lib.bpe.cutting.pattern import PAT
    from cs336_lib.bpe.rules import TextRules
    from cs336_lib.bpe.tokenizer import Tokenizer
    from cs336_lib.bpe.training import BPEResult, train_bpe
    from cs336_lib.bpe.warmup import compile_kernels

__all__ = ["train_bpe", "BPEResult", "Tokenizer", "TextRules", "PAT", "compile_kernels"]

_HOMES = {
    "train_bpe": "training",
    "BPEResult": "training",
    "Tokenizer": "tokenizer",
    "TextRules": "rules",
    "PAT": "cutting.pattern",
    "compile_kernels": "warmup",
}

__getattr__, __dir__ = door(__name__, _HOMES)
