#!/usr/bin/env bash
# A Python string beyond ASCII that a tokenizer written in Rust has encoded is larger afterward. These libraries borrow the
# string's UTF-8 bytes; CPython makes them for that and keeps them as long as the string lives. So a corpus in memory, of
# books with curly quotes say, goes from two bytes per character to three and more, although nothing of the ids is kept,
# and passes after the first are faster than a first one by that much.
#
# Expected: encoding a string leaves it as it was.
# Seen: tiktoken, tokenizers and gigatoken leave 115,004 bytes with a string of 105,001 characters, which is its UTF-8
# form and one byte; str.encode and a search with the regex module leave none.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check \
    tiktoken==0.14.0 tokenizers==0.23.3 gigatoken==0.10.0 regex==2026.11.15
cat > "$work/stays.py" <<'PY'
import sys
from importlib.metadata import version
from pathlib import Path

import gigatoken
import regex
import tiktoken
from tokenizers import Tokenizer, models, pre_tokenizers

single_bytes = {bytes([byte]): byte for byte in range(256)}
by_ranks = tiktoken.Encoding("bytes", pat_str=r"\S+|\s+", mergeable_ranks=single_bytes, special_tokens={})
letters = {letter: index for index, letter in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
hugging_face = Tokenizer(models.BPE(vocab=letters, merges=[]))
hugging_face.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
path = Path(sys.argv[1]) / "tokenizer.json"
hugging_face.save(str(path))


def left_behind(encode):
    """How many bytes a string of books, with curly quotes, has grown by."""
    text = "".join(["\u2019", "it\u2019s a text of books " * 5_000])
    before = sys.getsizeof(text)
    encode(text)
    assert len(text.encode()) == 115_003
    return sys.getsizeof(text) - before


left = {
    "tiktoken": left_behind(by_ranks.encode_ordinary),
    "tokenizers": left_behind(hugging_face.encode),
    "gigatoken": left_behind(gigatoken.Tokenizer(path).encode),
    "str.encode": left_behind(str.encode),
    "regex": left_behind(regex.compile(r"\p{L}+").findall),
}
print(", ".join(f"{name} {version(name)}" for name in ("tiktoken", "tokenizers", "gigatoken", "regex")))
for name, size in left.items():
    print(f"{name:12}{size:>8,} bytes left with the string")
assert set(left.values()) == {115_004, 0}
assert [name for name, size in left.items() if not size] == ["str.encode", "regex"]
PY
"$work/venv/bin/python" "$work/stays.py" "$work"
