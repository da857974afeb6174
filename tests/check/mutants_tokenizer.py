"""Wrong tokenizers and trainers: what each changes in the plain solution, and the checks that must catch it."""

ENCODE_BY_CHUNK = """        for chunk in iterable:
            yield from self.encode(chunk)
        return
        held = ""
        for chunk in iterable:"""
STREAM = """        held = ""
        for chunk in iterable:"""
NEIGHBORS = """            for pair in zip(old, old[1:]):
                counts[pair] -= times[i]
                where[pair].discard(i)
            for pair in zip(new, new[1:]):
                counts[pair] += times[i]
                where[pair].add(i)
"""
# Each occurrence looks at its neighbors in the old word, as if no other occurrence touched them.
NAIVE_NEIGHBORS = """            for j in range(len(old) - 1):
                if (old[j], old[j + 1]) == best:
                    token = best[0] + best[1]
                    counts[best] -= times[i]
                    if j:
                        counts[old[j - 1], old[j]] -= times[i]
                        counts[old[j - 1], token] += times[i]
                        where[old[j - 1], token].add(i)
                    if j + 2 < len(old):
                        counts[old[j + 1], old[j + 2]] -= times[i]
                        counts[token, old[j + 2]] += times[i]
                        where[token, old[j + 2]].add(i)
"""
# Counts rise where a merge makes a pair, and never fall where it takes one away.
STALE = """            for pair in zip(new, new[1:]):
                if best[0] + best[1] in pair:
                    counts[pair] += times[i]
                where[pair].add(i)
            counts[best] = 0
"""
DECODED = 'return file.read().decode("utf-8", "replace")'
INIT = "        self.vocab = dict(vocab)\n"
SPECIALS = "        self.special_tokens = list(special_tokens or [])\n"

BEST = "        best = max(counts, key=lambda pair: rank_of(pair, counts[pair], ids))\n"
CHUNKS = "    return [text]\n\n\ndef pieces_of"
LONGEST = "    longest_first = sorted(special_tokens, key=len, reverse=True)\n    return re.split"
SPLIT = "self.splitter.split(text) if self.splitter else [text]"
RETURN = "    return vocab, merges\n"
STREAM_CUT = "            cut = self.safe_cut(held)\n"


def chunks(expression):
    """A trainer that cuts its text before it looks for special tokens."""
    return [(CHUNKS, f"    return {expression}\n\n\ndef pieces_of")]


# name -> (replacements in the plain solution, checks that must catch it)
TOKENIZER_MUTANTS = {
    "trainer: words counted once however often they occur": (
        [
            (
                'words[tuple(bytes([b]) for b in match.group().encode("utf-8"))] += 1',
                'words[tuple(bytes([b]) for b in match.group().encode("utf-8"))] = 1',
            )
        ],
        ["train_bpe.example"],
    ),
    "trainer: ties go to the pair counted first": (
        [("    return (count, pair)", "    return count")],
        ["train_bpe.tie", "train_bpe.many"],
    ),
    "trainer: ties go to the pair counted last": (
        [
            ("    return (count, pair)", "    return count"),
            (BEST, BEST.replace("max(counts", "max(reversed(counts)")),
        ],
        ["train_bpe.tie"],
    ),
    "trainer: ties go to the smaller pair": (
        [(BEST, "        best = min(pair for pair in counts if counts[pair] == max(counts.values()))\n")],
        ["train_bpe.tie", "train_bpe.example"],
    ),
    "trainer: ties by ids": (
        [("    return (count, pair)", "    return (count, ids[pair[0]], ids[pair[1]])")],
        ["train_bpe.tie_bytes"],
    ),
    "trainer: ties by joined bytes": (
        [("    return (count, pair)", "    return (count, pair[0] + pair[1])")],
        ["train_bpe.tie_pairs"],
    ),
    "trainer: ties by GPT-2's printable characters": (
        [
            (
                "    return (count, pair)",
                "    return (count, [part.decode('latin-1').replace(' ', '\\u0120') for part in pair])",
            )
        ],
        ["train_bpe.tie_space"],
    ),
    "trainer: overlapping repeats": (
        [(NEIGHBORS, NAIVE_NEIGHBORS)],
        ["train_bpe.overlap", "train_bpe.overlap_two", "train_bpe.many", "train_bpe.more"],
    ),
    "trainer: stale counts": ([(NEIGHBORS, STALE)], ["train_bpe.stale", "train_bpe.many", "train_bpe.more"]),
    "trainer: words by str.split": (
        [
            (
                "for match in regex.finditer(PAT, piece):\n                words",
                "for match in regex.finditer(r'\\S+', piece):\n                words",
            )
        ],
        ["train_bpe.punctuation", "train_bpe.leading_space", "train_bpe.example"],
    ),
    "trainer: letters are a to z": (
        [
            (
                r'''"""'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"""''',
                r'''"""'(?:[sdmt]|ll|ve|re)| ?[a-z]+| ?[0-9]+| ?[^\sa-z0-9]|\s+(?!\S)|\s+"""''',
            )
        ],
        ["train_bpe.other_scripts"],
    ),
    "trainer: the pattern without its last-space rule": (
        [(r"|\s+(?!\S)|\s+", r"|\s+")],
        ["train_bpe.punctuation", "tokenizer.pattern", "tokenizer.stream_file"],
    ),
    "trainer: letters are \\w, numbers are \\d": (
        [(r" ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+", r" ?\w+| ?\d+| ?[^\s\w]+")],
        ["train_bpe.kinds", "tokenizer.kinds"],
    ),
    "trainer: numbers of three digits at most": (
        [(r" ?\p{N}+|", r" ?\p{N}{1,3}|")],
        ["train_bpe.kinds", "tokenizer.kinds"],
    ),
    "trainer: contractions in any case": (
        [("'(?:[sdmt]|ll|ve|re)|", "(?i:'(?:[sdmt]|ll|ve|re))|")],
        ["train_bpe.contractions", "tokenizer.contractions"],
    ),
    "trainer: lower case": (
        [(DECODED, DECODED + ".lower()")],
        ["train_bpe.as_it_is", "train_bpe.contractions"],
    ),
    "trainer: the file stripped": ([(DECODED, DECODED + ".strip()")], ["train_bpe.special_spaces"]),
    "trainer: each document stripped": (
        [
            (
                "        for piece in pieces_of(chunk, special_tokens):",
                "        for piece in map(str.strip, pieces_of(chunk, special_tokens)):",
            )
        ],
        ["train_bpe.special_spaces"],
    ),
    "trainer: special tokens not escaped": (
        [
            (
                'return re.split("|".join(re.escape(token) for token in longest_first), text)',
                'return re.split("|".join(longest_first), text)',
            )
        ],
        ["train_bpe.special_literal"],
    ),
    "trainer: only the first special token in the vocabulary": (
        [
            (
                "    for token in special_tokens:\n        vocab[len",
                "    for token in special_tokens[:1]:\n        vocab[len",
            )
        ],
        ["train_bpe.vocab"],
    ),
    "trainer: text mode": (
        [
            (
                'return file.read().decode("utf-8", "replace")',
                'return file.read().decode("utf-8", "replace").replace("\\r\\n", "\\n")',
            )
        ],
        ["train_bpe.crlf"],
    ),
    "trainer: chunks end after a space": (
        [
            (
                "    return [text]\n\n\ndef pieces_of",
                "    return re.findall(r'\\S*(?: |$)|\\s', text)\n\n\ndef pieces_of",
            )
        ],
        ["train_bpe.leading_space", "train_bpe.example"],
    ),
    "trainer: chunks end anywhere": (
        [
            (
                "    return [text]\n\n\ndef pieces_of",
                "    return [text[i : i + 4096] for i in range(0, len(text), 4096)]\n\n\ndef pieces_of",
            )
        ],
        ["train_bpe.chunks"],
    ),
    **{
        f"trainer: chunks of {size:,} characters": (
            chunks(f"[text[i : i + {size}] for i in range(0, len(text), {size})]"),
            ["train_bpe.chunks_runs", "train_bpe.chunks_large"],
        )
        for size in (262_144, 1_000_000)
    },
    "trainer: chunks end at the last newline before 64 KB": (
        chunks("re.findall(r'(?s).{1,65535}\\n|.{1,65536}', text)"),
        ["train_bpe.chunks_runs", "train_bpe.chunks_large"],
    ),
    "trainer: a quarter of the lines each": (
        chunks(
            "[text[a:b] for cuts in [[0, *(text.find('\\n', k * len(text) // 4) + 1 for k in (1, 2, 3)), len(text)]] "
            "for a, b in zip(cuts, cuts[1:])]"
        ),
        ["train_bpe.chunks_runs"],
    ),
    "trainer: latin-1": (
        [(DECODED, 'return file.read().decode("latin-1")')],
        ["train_bpe.punctuation", "train_bpe.other_scripts"],
    ),
    "trainer: ASCII only": (
        [(DECODED, 'return file.read().decode("ascii", "ignore")')],
        ["train_bpe.punctuation", "train_bpe.other_scripts"],
    ),
    "trainer: only the first special token cut out": (
        [(LONGEST, "    longest_first = special_tokens[:1]\n    return re.split")],
        ["train_bpe.special_several"],
    ),
    "trainer: the last special token not cut out": (
        [(LONGEST, "    longest_first = special_tokens[:-1] or special_tokens\n    return re.split")],
        ["train_bpe.special_several"],
    ),
    "trainer: chunks between special tokens, which must be there": (
        [
            (
                "    return [text]\n\n\ndef pieces_of",
                "    return text.split(special_tokens[0])[:-1] + [''] if special_tokens and len(text) < 900 else [text]\n\n\ndef pieces_of",
            )
        ],
        ["train_bpe.special_absent"],
    ),
    "trainer: special tokens joined into an empty pattern": (
        [
            (
                "    if not special_tokens:\n        return [text]\n",
                "    if not special_tokens:\n        return list(text)\n",
            )
        ],
        ["train_bpe.no_specials"],
    ),
    "trainer: special tokens removed, and their neighbors joined": (
        [
            (
                "            for match in regex.finditer(PAT, piece):\n                words",
                "            pass\n        for piece in [''.join(pieces_of(chunk, special_tokens))]:\n            for match in regex.finditer(PAT, piece):\n                words",
            )
        ],
        ["train_bpe.special_boundary"],
    ),
    "trainer: special tokens left in the text": (
        [("        for piece in pieces_of(chunk, special_tokens):", "        for piece in [chunk]:")],
        ["train_bpe.special_letters", "train_bpe.only_specials", "train_bpe.special_boundary"],
    ),
    "trainer: the shorter special token first": (
        [
            (
                "    longest_first = sorted(special_tokens, key=len, reverse=True)\n    return re.split",
                "    longest_first = special_tokens\n    return re.split",
            )
        ],
        ["train_bpe.special_overlap"],
    ),
    "trainer: max() of nothing": (
        [("        if not counts:\n            break\n", "")],
        ["train_bpe.exhausted", "train_bpe.only_specials"],
    ),
    "trainer: merges of pairs that are gone": (
        [
            (
                "        if not counts:\n            break\n        best = max(counts, key=lambda pair: rank_of(pair, counts[pair], ids))",
                "        best = max(counts, key=lambda pair: rank_of(pair, counts[pair], ids)) if counts else (b'', b'')",
            ),
        ],
        ["train_bpe.exhausted"],
    ),
    "trainer: an IndexError on an empty file": (
        [
            (
                "    counted = count_words(text, special_tokens)",
                "    text[0]\n    counted = count_words(text, special_tokens)",
            )
        ],
        ["train_bpe.empty"],
    ),
    "trainer: special tokens as strings": (
        [
            (
                '        vocab[len(vocab)] = token.encode("utf-8")\n    return vocab, merges',
                "        vocab[len(vocab)] = token\n    return vocab, merges",
            )
        ],
        ["train_bpe.vocab", "train_bpe.types"],
    ),
    "trainer: sorts the caller's list": (
        [
            (
                "    text = read_text(input_path)",
                "    special_tokens.sort(key=len, reverse=True)\n    text = read_text(input_path)",
            )
        ],
        ["train_bpe.caller_list"],
    ),
    "trainer: counts kept in a default argument": (
        [
            (
                "def count_words(text, special_tokens):\n    words = Counter()",
                "def count_words(text, special_tokens, words=Counter()):",
            )
        ],
        ["train_bpe.twice"],
    ),
    "encoder: the first pair that fits": (
        [
            (
                "best = min(zip(parts, parts[1:]), key=lambda pair: self.ranks.get(pair, math.inf))",
                "best = next((pair for pair in zip(parts, parts[1:]) if pair in self.ranks), (b'', b''))",
            )
        ],
        ["tokenizer.order"],
    ),
    "encoder: merges across pre-tokens": (
        [
            (
                "                for match in regex.finditer(PAT, piece):\n                    out.extend(self.encode_word(match.group()))",
                "                out.extend(self.encode_word(piece))",
            )
        ],
        ["tokenizer.pattern"],
    ),
    "encoder: spaces dropped": (
        [
            (
                "regex.finditer(PAT, piece):\n                    out.extend(self.encode_word(match.group()))",
                "regex.finditer(PAT, piece):\n                    out.extend(self.encode_word(match.group().strip() or match.group()))",
            )
        ],
        ["tokenizer.example", "tokenizer.round_trip", "tokenizer.stream"],
    ),
    "encoder: repeats replaced from the right": (
        [
            (
                "                parts = merge(parts, best)"
                if False
                else "            parts = merge(parts, best)\n        out",
                "            parts = [p[::-1] for p in merge([q[::-1] for q in parts[::-1]], (best[1][::-1], best[0][::-1]))][::-1]\n        out",
            )
        ],
        ["tokenizer.repeats"],
    ),
    "encoder: empty text": (
        [
            (
                "    def encode(self, text):\n        out = []",
                "    def encode(self, text):\n        text[0]\n        out = []",
            )
        ],
        ["tokenizer.empty", "tokenizer.stream_empty"],
    ),
    "encoder: text normalized": (
        [
            (
                "    def encode(self, text):\n        out = []",
                "    def encode(self, text):\n        import unicodedata\n\n        text = unicodedata.normalize('NFC', text)\n        out = []",
            )
        ],
        ["tokenizer.round_trip"],
    ),
    "decoder: each token by itself": (
        [
            (
                'b"".join(self.vocab[i] for i in ids).decode("utf-8", errors="replace")',
                '"".join(self.vocab[i].decode("utf-8", errors="replace") for i in ids)',
            )
        ],
        ["tokenizer.decode_joined", "tokenizer.round_trip"],
    ),
    "decoder: malformed bytes raise": (
        [('.decode("utf-8", errors="replace")\n\n\ndef get_tokenizer', '.decode("utf-8")\n\n\ndef get_tokenizer')],
        ["tokenizer.decode_malformed"],
    ),
    "decoder: malformed bytes dropped": (
        [
            (
                '.decode("utf-8", errors="replace")\n\n\ndef get_tokenizer',
                '.decode("utf-8", errors="ignore")\n\n\ndef get_tokenizer',
            )
        ],
        ["tokenizer.decode_malformed"],
    ),
    "decoder: a character for each byte": (
        [
            (
                '.decode("utf-8", errors="replace")\n\n\ndef get_tokenizer',
                '.decode("latin-1")\n\n\ndef get_tokenizer',
            )
        ],
        ["tokenizer.decode_malformed", "tokenizer.decode_joined", "tokenizer.round_trip"],
    ),
    **{
        f"specials: {how}() of what is between them": (
            [(SPLIT, f"[piece.{how}('\\n') for piece in self.splitter.split(text)] if self.splitter else [text]")],
            ["tokenizer.special_newlines"],
        )
        for how in ("lstrip", "rstrip", "strip")
    },
    "specials: in one pattern with the words": (
        [
            (
                f"for piece in {SPLIT}:",
                "for piece in [text] if self.splitter is None else [regex.compile(f'{self.splitter.pattern[1:-1]}|{PAT}')]:",
            ),
            (
                "                for match in regex.finditer(PAT, piece):\n                    out.extend(self.encode_word(match.group()))",
                "                for match in regex.finditer(PAT if piece is text else piece, text):\n"
                "                    word = match.group()\n"
                "                    special = word in self.special_tokens\n"
                "                    out.extend([self.ids[word.encode()]] if special else self.encode_word(word))",
            ),
        ],
        ["tokenizer.special_newlines"],
    ),
    "specials: only the first": (
        [(SPECIALS, "        self.special_tokens = list(special_tokens or [])[:1]\n")],
        ["tokenizer.special_several"],
    ),
    "specials: the last left out": (
        [
            (
                "            longest_first = sorted(self.special_tokens, key=len, reverse=True)\n            self",
                "            longest_first = self.special_tokens[:-1] or self.special_tokens\n            self",
            )
        ],
        ["tokenizer.special_several"],
    ),
    "specials: split without keeping them": (
        [
            (
                're.compile("(" + "|".join(re.escape(token) for token in longest_first) + ")")',
                're.compile("|".join(re.escape(token) for token in longest_first))',
            )
        ],
        ["tokenizer.special", "tokenizer.special_appended"],
    ),
    "specials: not escaped": (
        [
            (
                're.compile("(" + "|".join(re.escape(token) for token in longest_first) + ")")',
                're.compile("(" + "|".join(longest_first) + ")")',
            )
        ],
        ["tokenizer.special", "tokenizer.special_newlines"],
    ),
    "specials: the shorter one first": (
        [
            (
                "            longest_first = sorted(self.special_tokens, key=len, reverse=True)\n            self",
                "            longest_first = self.special_tokens\n            self",
            )
        ],
        ["tokenizer.special_longest", "tokenizer.stream_special_longest"],
    ),
    "specials: newlines after them eaten": (
        [('+ ")")\n\n    @classmethod', '+ ")\\n?")\n\n    @classmethod')],
        ["tokenizer.special_newlines"],
    ),
    "specials: an empty list splits everywhere": (
        [
            (
                "        if self.special_tokens:\n            longest",
                "        if special_tokens is not None:\n            longest",
            ),
            (
                "self.splitter.split(text) if self.splitter else [text]",
                "(list(text) if self.splitter.pattern == '()' else self.splitter.split(text)) if self.splitter else [text]",
            ),
        ],
        ["tokenizer.no_specials"],
    ),
    "specials: not appended": (
        [('                self.vocab[max(self.vocab) + 1] = token.encode("utf-8")', "                pass")],
        ["tokenizer.special_appended"],
    ),
    "specials: appended at len(vocab)": (
        [("self.vocab[max(self.vocab) + 1]", "self.vocab[len(self.vocab)]")],
        ["tokenizer.special_gap"],
    ),
    "specials: appended to the caller's vocabulary": (
        [(INIT, "        self.vocab = vocab\n")],
        ["tokenizer.caller_vocab"],
    ),
    "specials: the caller's list sorted": (
        [(SPECIALS, "        self.special_tokens = special_tokens or []\n        self.special_tokens.sort(key=len)\n")],
        ["tokenizer.caller_list"],
    ),
    "encoder: a cache shared by all": (
        [("        self.cache = {}\n", ""), ("class Tokenizer:\n", "class Tokenizer:\n    cache = {}\n\n")],
        ["tokenizer.two"],
    ),
    "encoder: ids from the order of merges": (
        [
            (
                "self.ids = {token: i for i, token in self.vocab.items()}",
                "self.ids = {bytes([i]): i for i in range(256)} | {a + b: 256 + n for n, (a, b) in enumerate(merges)} | {t.encode(): self_id for self_id, t in enumerate(self.special_tokens)}",
            )
        ],
        ["tokenizer.vocab_order"],
    ),
    "encoder: one occurrence at a time": (
        [
            (
                "            parts = merge(parts, best)\n        out",
                "            at = next(i for i in range(len(parts)) if (parts[i], parts[i + 1]) == best)\n            parts[at : at + 2] = [best[0] + best[1]]\n        out",
            )
        ],
        ["tokenizer.long_word"],
    ),
    "encoder: one space at a time": (
        [
            (
                "            parts = merge(parts, best)\n        out",
                "            if best != (b' ', b' '):\n                parts = merge(parts, best)\n                continue\n            at = next(i for i in range(len(parts)) if (parts[i], parts[i + 1]) == best)\n            parts[at : at + 2] = [best[0] + best[1]]\n        out",
            )
        ],
        ["tokenizer.long_spaces"],
    ),
    "encoder: numpy ids": (
        [
            (
                "                    out.extend(self.encode_word(match.group()))\n        return out",
                "                    out.extend(self.encode_word(match.group()))\n        return np.array(out, dtype=np.int32)",
            )
        ],
        ["tokenizer.ids"],
    ),
    "stream: each string by itself": (
        [(STREAM, ENCODE_BY_CHUNK)],
        [
            "tokenizer.stream_lines",
            "tokenizer.stream_file",
            "tokenizer.stream_word",
            "tokenizer.stream_special",
            "tokenizer.stream_special_longest",
        ],
    ),
    "stream: read to its end first": (
        [(STREAM, '        held = "".join(iterable)\n        for chunk in []:')],
        ["tokenizer.stream_lazy"],
    ),
    "stream: lists instead of ids": (
        [("            yield from self.encode(held[:cut])", "            yield self.encode(held[:cut])")],
        ["tokenizer.stream"],
    ),
    "stream: cut at the last newline": (
        [(STREAM_CUT, '            cut = held.rfind("\\n") + 1\n')],
        ["tokenizer.stream_lines", "tokenizer.stream_file"],
    ),
    "stream: only the last pre-token held back": (
        [
            (
                STREAM_CUT,
                "            found = [m.start() for m in regex.finditer(PAT, held)] if not self.special_tokens else []\n"
                "            cut = found[-1] if found else self.safe_cut(held)\n",
            )
        ],
        ["tokenizer.stream_contraction"],
    ),
    "stream: a last letter held back": (
        [(STREAM_CUT, "            cut = max(len(held) - 1, 0) if held.isalpha() else self.safe_cut(held)\n")],
        ["tokenizer.stream_characters"],
    ),
    "stream: a special token yielded before the longer one is seen": (
        [
            ("            if text.endswith(token):\n                limit = min(limit, len(text) - len(token))\n", ""),
            (
                "        cut = 0\n        for match",
                "        cut = max([len(text) for t in self.special_tokens if text.endswith(t)], default=0)\n        for match",
            ),
        ],
        ["tokenizer.stream_special_longest"],
    ),
    **{
        f"trainer: {name}": ([(RETURN, f"    return {returned}\n")], ["train_bpe.types"])
        for name, returned in {
            "merges as lists": "vocab, [list(pair) for pair in merges]",
            "merges of bytearrays": "vocab, [tuple(map(bytearray, pair)) for pair in merges]",
            "merges as a tuple": "vocab, tuple(merges)",
            "merges as a generator": "vocab, (pair for pair in merges)",
            "merges as a set": "vocab, set(merges)",
            "merges of strings": "vocab, [tuple(token.decode('latin-1') for token in pair) for pair in merges]",
            "ids of numpy": "{np.int64(i): token for i, token in vocab.items()}, merges",
            "a vocabulary of bytearrays": "{i: bytearray(token) for i, token in vocab.items()}, merges",
            "a vocabulary as a list": "list(vocab.values()), merges",
        }.items()
    },
    "trainer: stops at pairs that occur once": (
        [("        if not counts:\n", "        if not counts or max(counts.values()) == 1:\n")],
        ["train_bpe.count", "train_bpe.tie"],
    ),
    "trainer: special tokens not counted": (
        [("vocab_size - 256 - len(special_tokens):", "vocab_size - 256:")],
        ["train_bpe.count", "train_bpe.example"],
    ),
    "trainer: one merge more": (
        [("while len(merges) < vocab_size", "while len(merges) <= vocab_size")],
        ["train_bpe.count", "train_bpe.example"],
    ),
    "trainer: counts of parts replace each other": (
        [
            (
                "    words = Counter()\n",
                "    if len(text) > 200_000 and special_tokens:\n"
                "        pieces, total = pieces_of(text, special_tokens), {}\n"
                "        for part in (pieces[0::2], pieces[1::2]):\n"
                "            total.update(count_words('\\n'.join(part), []))\n"
                "        return total\n"
                "    words = Counter()\n",
            )
        ],
        ["train_bpe.documents"],
    ),
    "trainer: the last document of a large file left out": (
        [
            (
                "    return re.split(",
                "    if len(text) > 500_000:\n"
                "        return re.split('|'.join(re.escape(token) for token in longest_first), text)[:-1] or [text]\n"
                "    return re.split(",
            )
        ],
        ["train_bpe.documents"],
    ),
    "trainer: a pair whose count fell is not queued again": (
        [
            ("    merges = []\n", "    merges = []\n    lost = set()\n"),
            (BEST, BEST.replace("max(counts,", "max([pair for pair in counts if pair not in lost] or counts,")),
            ("        merges.append(best)\n", "        merges.append(best)\n        was = counts.copy()\n"),
            (
                "        counts = Counter({pair",
                "        lost = {p for p in counts if counts[p] < was[p] or (p in lost and counts[p] == was[p])}\n"
                "        counts = Counter({pair",
            ),
        ],
        ["train_bpe.overlap", "train_bpe.many"],
    ),
    "encoder: a pair replaced while the list is walked": (
        [
            (
                "            parts = merge(parts, best)\n        out",
                "            for j, pair in enumerate(list(zip(parts, parts[1:]))):\n"
                "                if pair == best:\n"
                "                    parts[j : j + 2] = [best[0] + best[1]]\n        out",
            )
        ],
        ["tokenizer.order", "tokenizer.repeats"],
    ),
    "stream: lines without their ends": (
        [(STREAM, STREAM.replace("in iterable:", "in (line for text in iterable for line in text.splitlines()):"))],
        ["tokenizer.stream_lines", "tokenizer.stream_file"],
    ),
    "stream: what is held back kept in the tokenizer": (
        [
            ("        self.cache = {}\n", "        self.cache = {}\n        self.held = ''\n"),
            (
                STREAM,
                """        for chunk in iterable:
            self.held += chunk
            cut = self.safe_cut(self.held)
            ready, self.held = self.held[:cut], self.held[cut:]
            yield from self.encode(ready)
        yield from self.encode(self.held)
        self.held = ""
        return
"""
                + STREAM,
            ),
        ],
        ["tokenizer.stream_state"],
    ),
    "stream: white space at its end dropped": (
        [
            (
                "        yield from self.encode(held)\n",
                "        if held.strip():\n            yield from self.encode(held)\n",
            )
        ],
        ["tokenizer.stream_lines"],
    ),
    "stream: read as a file": (
        [(STREAM, STREAM.replace("in iterable:", "in iter(lambda: iterable.read(4096), ''):"))],
        ["tokenizer.stream", "tokenizer.stream_word"],
    ),
    "stream: lists of ids": (
        [(STREAM, "        for chunk in iterable:\n            yield self.encode(chunk)\n        return\n" + STREAM)],
        ["tokenizer.stream"],
    ),
    "specials: whatever looks like one": (
        [
            (
                SPECIALS,
                SPECIALS
                + "        looks = [token.decode() for token in vocab.values() if re.fullmatch(rb'<\\|.+\\|>', token)]\n"
                "        self.special_tokens += [token for token in looks if token not in self.special_tokens]\n",
            )
        ],
        ["tokenizer.special_unnamed"],
    ),
    "specials: <|endoftext|> always": (
        [
            (
                SPECIALS,
                SPECIALS
                + "        if b'<|endoftext|>' in vocab.values() and '<|endoftext|>' not in self.special_tokens:\n"
                "            self.special_tokens.append('<|endoftext|>')\n",
            )
        ],
        ["tokenizer.special_unnamed"],
    ),
    "specials: in any case": (
        [('for token in longest_first) + ")")', 'for token in longest_first) + ")", re.IGNORECASE)')],
        ["tokenizer.special_unnamed"],
    ),
    "decoder: special tokens left out": (
        [
            (
                'b"".join(self.vocab[i] for i in ids)',
                'b"".join(self.vocab[i] for i in ids if self.vocab[i].decode("utf-8", "replace") not in self.special_tokens)',
            )
        ],
        ["tokenizer.special_appended"],
    ),
    "encoder: a table of all 256 bytes": (
        [
            (
                "        self.cache = {}\n",
                "        self.cache = {}\n        self.bytes = [self.ids[bytes([b])] for b in range(256)]\n",
            )
        ],
        ["tokenizer.example"],
    ),
    "trainer: special tokens in any case": (
        [
            (LONGEST, LONGEST),
            ("for token in longest_first), text)", "for token in longest_first), text, flags=re.IGNORECASE)"),
        ],
        ["train_bpe.special_literal"],
    ),
    "trainer: special tokens of another name not cut out": (
        [(LONGEST, LONGEST.replace("sorted(special_tokens, key=len, reverse=True)", "['<|endoftext|>']"))],
        ["train_bpe.special_boundary"],
    ),
    **{
        f"trainer: each line by itself, {how}": (
            [(CHUNKS, f"    return {cut}\n\n\ndef pieces_of")],
            ["train_bpe.punctuation"],
        )
        for how, cut in {
            "as of an open file": r"re.findall(r'[^\n]*\n|[^\n]+', text)",
            "by splitlines": "text.splitlines(keepends=True)",
            "without its end": r"text.split('\n')",
        }.items()
    },
    **{
        f"trainer: ties on decoded tokens, {errors}": (
            [
                (
                    "    return (count, pair)\n",
                    f"    return (count, tuple(token.decode('utf-8', '{errors}') for token in pair))\n",
                )
            ],
            ["train_bpe.tie_bytes"],
        )
        for errors in ("replace", "ignore")
    },
    "trainer: ties among a few": (
        [
            (
                BEST,
                "        few = counts.most_common(5)\n"
                "        best = max(pair for pair, count in few if count == few[0][1])\n",
            )
        ],
        ["train_bpe.chunks", "train_bpe.punctuation"],
    ),
    "trainer: the last document left out": (
        [
            (
                "        for piece in pieces_of(chunk, special_tokens):",
                "        for piece in pieces_of(chunk, special_tokens)[:-1] or [chunk]:",
            )
        ],
        ["train_bpe.count"],
    ),
    "trainer: utf-8-sig": ([(DECODED, DECODED.replace("utf-8", "utf-8-sig"))], ["train_bpe.as_it_is"]),
    "stream: at most 4,096 characters held back": (
        [(STREAM_CUT, STREAM_CUT + "            cut = len(held) if len(held) >= 4096 else cut\n")],
        ["tokenizer.stream_long_word"],
    ),
    "stream: encoded whenever there are 64 KiB": (
        [(STREAM_CUT, "            cut = len(held) if len(held) >= 65536 else 0\n")],
        ["tokenizer.stream_large"],
    ),
}
