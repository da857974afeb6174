#!/usr/bin/env bash
# What a letter is depends on the age of a library's Unicode tables. A pattern with \p{L} cuts a text differently in
# tiktoken, tokenizers and the regex module wherever a letter is younger than one's tables.
#
# Seen: of the letters that regex knows, tiktoken and tokenizers don't take some thousands for letters; printed by range.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check regex==2026.11.15 tiktoken==0.14.0 tokenizers==0.23.3
"$work/venv/bin/python" - <<'PY'
import regex
import tiktoken
from tokenizers import Regex, pre_tokenizers

LETTER = regex.compile(r"\p{L}")
BYTES = {bytes([i]): i for i in range(256)}
split = pre_tokenizers.Split(Regex(r"\p{L}+"), "isolated")


def in_tiktoken(pair):
    """A pair of letters is one piece, and a piece that is a token is looked up whole."""
    encoding = tiktoken.Encoding("x", pat_str=r"\p{L}+|\P{L}+", mergeable_ranks=BYTES | {pair.encode(): 256}, special_tokens={})
    return encoding.encode(pair) == [256]


def in_tokenizers(pair):
    return len(split.pre_tokenize_str(pair)) == 1


letters = [c for c in map(chr, range(0x110000)) if not 0xD800 <= ord(c) < 0xE000 and LETTER.match(c)]
unknown = [c for c in letters if not in_tokenizers("a" + c)]
sample = unknown[:: max(1, len(unknown) // 200)]
print(f"letters that regex knows and tokenizers doesn't: {len(unknown):,}, e.g. U+{ord(unknown[0]):04X}")
print(f"of {len(sample)} of them, tiktoken knows {sum(in_tiktoken('a' + c) for c in sample)}")
assert len(unknown) > 100
assert in_tiktoken("ab") and in_tokenizers("ab")
PY
