#!/usr/bin/env bash
# Pre-tokenization patterns may ignore case in a part of them, `(?i:...)`, as those of GPT-4 and Llama 3 do for contractions.
# Put a class of letters by case into such a part, upper-case letters say. The regex module and the engine of tiktoken let
# the class take both cases then; that of tokenizers (Oniguruma) lets ranges such as A-Z take both, and the class not.
#
# Expected: a pattern means the same in all three.
# Seen: `(?i:\p{Lu}+)` finds "hello" with regex and tiktoken and not with tokenizers, `(?i:[A-Z]+)` with all.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check \
  tokenizers==0.23.3 tiktoken==0.14.0 regex==2026.11.15
cat > "$work/case.py" <<'PY'
from importlib.metadata import version

import regex
import tiktoken
from tokenizers import Regex
from tokenizers.pre_tokenizers import Split

TEXT = "HELLO hello Ab"
BYTES = {bytes([i]): i for i in range(256)}


def found(pattern):
    by_regex = "".join(regex.findall(pattern, TEXT))
    encoding = tiktoken.Encoding("bytes", pat_str=pattern, mergeable_ranks=BYTES, special_tokens={})
    by_tiktoken = bytes(encoding.encode(TEXT)).decode()
    split = Split(Regex(pattern), "removed", invert=True)
    return by_regex, by_tiktoken, "".join(part for part, _ in split.pre_tokenize_str(TEXT))


print(*(f"{name} {version(name)}" for name in ("regex", "tiktoken", "tokenizers")), sep=", ")
for pattern in (r"\p{Lu}+", r"(?i:[A-Z]+)", r"(?i:\p{Lu}+)", r"(?i:\p{Ll}+)"):
    print(f"{pattern:14}", *found(pattern))
assert found(r"\p{Lu}+") == ("HELLOA",) * 3
assert found(r"(?i:[A-Z]+)") == ("HELLOhelloAb",) * 3
assert found(r"(?i:\p{Lu}+)") == ("HELLOhelloAb", "HELLOhelloAb", "HELLOA")
assert found(r"(?i:\p{Ll}+)") == ("HELLOhelloAb", "HELLOhelloAb", "hellob")
PY
"$work/venv/bin/python" "$work/case.py"
