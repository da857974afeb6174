"""Byte-pair encoding in pure Python: what the chapters show, and the oracle of everything that is compiled.

definition           training, read like the text of the algorithm, and as slow
definition_encoder   encoding, likewise
trainer, encoder     the same answers with bookkeeping: what answers where no kernel is ready
"""

from cs336_lib.bpe.plain.definition import (
    Pair,
    build_vocabulary,
    count_words,
    merge_word,
    pretokenize,
    train,
    train_on_words,
)

__all__ = ["Pair", "pretokenize", "count_words", "merge_word", "train_on_words", "train", "build_vocabulary"]
