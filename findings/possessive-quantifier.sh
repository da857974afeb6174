#!/usr/bin/env bash
# One pattern, two meanings. `X{1,3}+` is possessive for the regex module and for tiktoken, so it takes three digits at a
# time. For tokenizers (Oniguruma's Ruby syntax) the + repeats the whole: one piece of any length. tiktoken's own spelling of
# cl100k has `\p{N}{1,3}+`, so a tokenizer.json with that very pattern cuts numbers elsewhere. The atomic group
# `(?>X{1,3})` means the same to all three.
#
# Seen: regex and tiktoken cut 12345 into 123 and 45; tokenizers keeps it whole; with the atomic group all cut alike.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check regex==2026.11.15 tiktoken==0.14.0 tokenizers==0.23.3
"$work/venv/bin/python" - <<'PY'
import regex
import tiktoken
from tokenizers import Regex, pre_tokenizers

TEXT = "12345"
RANKS = {bytes([i]): i for i in range(256)} | {b"123": 256, b"45": 257, b"12345": 258}


def pieces(pattern):
    encoding = tiktoken.Encoding("x", pat_str=pattern, mergeable_ranks=RANKS, special_tokens={})
    return {
        "regex": regex.findall(pattern, TEXT),
        "tiktoken": [encoding.decode([i]) for i in encoding.encode(TEXT)],
        "tokenizers": [piece for piece, _ in pre_tokenizers.Split(Regex(pattern), "isolated").pre_tokenize_str(TEXT)],
    }


possessive, atomic = pieces(r"\p{N}{1,3}+"), pieces(r"(?>\p{N}{1,3})")
print("possessive:", possessive)
print("atomic:    ", atomic)
assert possessive == {"regex": ["123", "45"], "tiktoken": ["123", "45"], "tokenizers": ["12345"]}
assert set(map(tuple, atomic.values())) == {("123", "45")}
PY
