"""Texts and tokenizers for the tests of this folder; all of it is made here."""

import functools
import random

from hypothesis import settings
from hypothesis import strategies as st

from cs336_lib.bpe.plain.definition import train
from cs336_lib.bpe.tokenizer import Tokenizer

# Time is not what these tests are about, and a first call may load kernels.
settings.register_profile("bpe", deadline=None)
settings.load_profile("bpe")

SPECIALS = ["<|end|>", "<|end|><|end|>", "<s>"]

SCRIPTS = [
    "It's 1,234 o'clock; we've said they'll don't he's I'm you'd THEY'RE we'LL  ok\n\n\tx",
    "Der Fluß ist überall, naïve façade, coöperate, Ångström ½ ² ³ Ⅻ",
    "Быстрая лиса прыгает через ленивую собаку 12 раз",
    "敏捷的棕色狐狸跳过懒狗。三〇四　全角空格",
    "すばやい茶色の狐はのろまな犬を飛び越える、ー・",
    "빠른 갈색 여우가 게으른 개를 뛰어넘는다",
    "الثعلب البني السريع يقفز فوق الكلب الكسول ١٢٣",
    "तेज़ भूरी लोमड़ी आलसी कुत्ते के ऊपर कूदती है ४५",
    "สุนัขจิ้งจอกสีน้ำตาลกระโดดข้ามสุนัขขี้เกียจ",
    "\U0001f98a\U0001f468\u200d\U0001f469\u200d\U0001f467 \U0001f1eb\U0001f1f7"
    " \u2764\ufe0f\u200b\u00a0\u2003\u2028x\u3000\u3000y\u0085z",
    "tabs\t\tand\r\nlines\r\n\r\n   trailing   ",
    "<|end|><|end|><|end|>a<s>b<s><s> <|end|",
    "!!!???...---===___ #include <stdio.h> /* x */ a=b+c; $1.00 50% @me",
    "Z͑ͫ̓a̴l͖͠g̨o e\u0301\u0301 \u1e9b\u0323 \ud7b0\ua960",
]


@functools.cache
def small_tokenizer() -> Tokenizer:
    """Trained by the definition on the scripts and some English; with overlapping special tokens."""
    words = ["the", "cat", "sat", "on", "that", "mat", "and", "then", "there", "theatre", "aaaa", "aaaaaaaa"]
    chooser = random.Random(5)
    english = " ".join(chooser.choice(words) for _ in range(400))
    vocab, merges = train(("\n".join([english, *SCRIPTS])).encode(), 600, SPECIALS)
    return Tokenizer(vocab, merges, SPECIALS)


@functools.cache
def tokenizer_of(text: str, merges: int) -> Tokenizer:
    vocab, learned = train(text.encode(), 257 + merges, ["<s>"])
    return Tokenizer(vocab, learned, ["<s>"])


# Tokenizers with a few merges learned on texts of few letters, so that merges overlap and compete.
TOKENIZERS = st.builds(tokenizer_of, st.text(alphabet="ab c'sé", max_size=40), st.integers(0, 20))
