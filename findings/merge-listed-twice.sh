#!/usr/bin/env bash
# A merge that a tokenizer.json lists twice is neither refused nor ignored: its last place counts. A reader that keeps the
# first place (as a dictionary filled with setdefault does) gets other tokens from the same file.
#
# Seen: with (a,b), (b,c) the word abc becomes ab c; with (a,b), (b,c), (a,b) it becomes a bc.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check tokenizers==0.23.3
"$work/venv/bin/python" - <<'PY'
from tokenizers import Tokenizer, models

VOCAB = {token: i for i, token in enumerate(["a", "b", "c", "ab", "bc"])}
ONCE = [("a", "b"), ("b", "c")]


def tokens(merges):
    return Tokenizer(models.BPE(vocab=VOCAB, merges=merges)).encode("abc").tokens


print("once: ", tokens(ONCE))
print("twice:", tokens([*ONCE, ("a", "b")]))
assert tokens(ONCE) == ["ab", "c"]
assert tokens([*ONCE, ("a", "b")]) == ["a", "bc"]
PY
