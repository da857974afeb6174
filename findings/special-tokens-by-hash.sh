#!/usr/bin/env bash
# Of two special tokens that begin alike, tokenizers finds the longer one wherever it fits. Which one tiktoken finds follows
# neither the length nor the ids: its special tokens are tried in the order of a hash table, so another letter, or
# at times the order in which they are given, decides. It is the same in each process.
#
# Seen, for the text of the longer one, both orders of the mapping, both orders of the ids:
#   <t>, <t>1         the longer one, always
#   <t>1, <t>12       the shorter one, always
#   <s>, <s>s         by the order of the mapping
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check tiktoken==0.14.0 tokenizers==0.23.3
"$work/venv/bin/python" - <<'PY'
import tiktoken
from tokenizers import AddedToken, Tokenizer, models

BYTES = {bytes([i]): i for i in range(256)}


def by_tiktoken(shorter, longer):
    """Whether the longer one is found, for each order of the mapping and each of the ids."""
    found = []
    for order in ((shorter, longer), (longer, shorter)):
        for ids in ((256, 257), (257, 256)):
            special = dict(zip(order, ids))
            encoding = tiktoken.Encoding("x", pat_str=r"[\s\S]", mergeable_ranks=BYTES, special_tokens=special)
            found.append(encoding.encode(longer, allowed_special="all") == [special[longer]])
    return found


def by_tokenizers(shorter, longer):
    found = []
    for order in ((shorter, longer), (longer, shorter)):
        tokenizer = Tokenizer(models.BPE(vocab={}, merges=[]))
        tokenizer.add_special_tokens([AddedToken(one, normalized=False) for one in order])
        found.append(tokenizer.encode(longer).tokens == [longer])
    return found


SEEN = {
    ("<t>", "<t>1"): [True] * 4,
    ("<t>1", "<t>12"): [False] * 4,
    ("<s>", "<s>s"): [True, True, False, False],
}
for pair, expected in SEEN.items():
    print(*pair, "tiktoken:", by_tiktoken(*pair), "tokenizers:", by_tokenizers(*pair))
    assert all(by_tokenizers(*pair))
    assert by_tiktoken(*pair) == expected, pair
PY
