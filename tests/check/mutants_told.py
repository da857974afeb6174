"""Mistakes of which another cause was told, or none: the question that is their only fault, and what its cause says."""

from mutants_tokenizer import STREAM_CUT
from mutants_training import STARTS

from cs336_lib.check.child.bpe_rules import PAT

STREAM_CUT_AT_WORDS = """            cut = 0
            if len(held) >= 4096:
                cut = max(0, held.rfind(" "), *(m.end() - 1 for m in regex.finditer("[|>][0-9a-z]", held)))
"""
SPLITTER = "        if self.special_tokens:\n            longest"
CHUNKS = "    return [text]\n\n\ndef pieces_of"
GROUPS = "        for group in self.param_groups:\n"
RANKS = "        self.ranks = {pair: rank for rank, pair in enumerate(merges)}\n"
PARTS = "    n = len(text)\n    return [text[n * k // {0} : n * (k + 1) // {0}] for k in range({0})]\n\n\ndef pieces_of"
PIECES = "    if not special_tokens:\n        return [text]\n    longest"
EACH_PIECE = "        for piece in pieces_of(chunk, special_tokens):\n"
PATTERN = 'PAT = r"""' + PAT + '"""'
# name -> (problem, replacements in the plain solution, what the cause says, the question)
TOLD = {
    "an empty pattern of special tokens": (
        "tokenizer",
        [(SPLITTER, SPLITTER.replace("self.special_tokens", "True"))],
        "an empty pattern",
        "tokenizer.no_specials",
    ),
    **{
        f"stream: encoded whenever there are {size} characters": (
            "tokenizer",
            [(STREAM_CUT, f"            cut = len(held) if len(held) >= {size} else 0\n")],
            "grown to some size",
            "tokenizer.stream_long_word" if size < 20_000 else "tokenizer.stream_large",
        )
        for size in (4096, 32_768, 65_536, 131_072)
    },
    "stream: a special token cut at a flush": (
        "tokenizer",
        [(STREAM_CUT, STREAM_CUT_AT_WORDS)],
        "grown to some size",
        "tokenizer.stream_large",
    ),
    "encoder: the pair of the lowest id first": (
        "tokenizer",
        [(RANKS, "        self.ranks = {pair: self.ids.get(pair[0] + pair[1], math.inf) for pair in merges}\n")],
        "the lowest id",
        "tokenizer.vocab_order",
    ),
    "trainer: an empty pattern of special tokens": (
        "train_bpe",
        [
            (PIECES, "    longest"),
            ("re.split(", "regex.split("),
            (", text)\n\n\ndef count", ", text, flags=regex.V1)\n\n\ndef count"),
        ],
        "an empty pattern",
        "train_bpe.no_specials",
    ),
    **{
        f"trainer: {parts} equal parts": (
            "train_bpe",
            [(CHUNKS, PARTS.format(parts))],
            "in equal parts",
            "train_bpe.example",
        )
        for parts in (4, 8)
    },
    **{
        f"trainer: {parts} equal parts without special tokens": (
            "train_bpe",
            [(CHUNKS, "    if special_tokens:\n        return [text]\n" + PARTS.format(parts))],
            "in equal parts",
            "train_bpe.no_specials",
        )
        for parts in (2, 8)
    },
    "trainer: words split in characters": (
        "train_bpe",
        [
            (
                'words[tuple(bytes([b]) for b in match.group().encode("utf-8"))]',
                "words[tuple(c.encode() for c in match.group())]",
            )
        ],
        "split in characters",
        "train_bpe.punctuation",
    ),
    **{
        f"trainer: {kind} of ASCII only": (
            "train_bpe",
            [(PATTERN, PATTERN.replace(f" ?{of_all}", f" ?[{ascii_only}]").replace(of_all, ascii_only))],
            "of all scripts",
            question,
        )
        for kind, of_all, ascii_only, question in (
            ("letters", r"\p{L}", "A-Za-z", "train_bpe.other_scripts"),
            ("numbers", r"\p{N}", "0-9", "train_bpe.kinds"),
        )
    },
    **{
        f"loss: {after[2:-2]}": ("cross_entropy", [("squeeze(-1)).mean()", "squeeze(-1))" + after)], says, question)
        for after, says, question in (
            ("", "the mean over all targets is missing", "cross_entropy.value"),
            (".mean(-1, keepdim=True)", "over one dimension", "cross_entropy.batch"),
            (".mean().item()", "cuts the gradient off", "cross_entropy.gradient"),
        )
    },
    "batch: starts that are counted up": (
        "data_loading",
        [(STARTS, "    starts = [i % (len(dataset) - context_length) for i in range(batch_size)]\n")],
        "counted up",
        "data_loading.draws",
    ),
    "batch: the same seed for each": (
        "data_loading",
        [(STARTS, "    np.random.seed(len(dataset))\n" + STARTS)],
        "a seed set inside",
        "data_loading.draws",
    ),
    "batch: targets two ids further on": (
        "data_loading",
        [("dataset[s + 1 : s + context_length + 1]", "dataset[s + 2 : s + context_length + 2]")],
        "more than one id",
        "data_loading.shift",
    ),
    "batch: int16": ("data_loading", [("astype(np.int64)", "astype(np.int16)")], "as it is", "data_loading.int64"),
    "linear: 0.02 for all": (
        "linear",
        [("        std = math.sqrt(2 / (d_in + d_out))\n", "        std = 0.02 / 3\n"), ("std=std", "std=0.02")],
        "another deviation",
        "linear.init_spread",
    ),
    "embedding: 0.02 for all": (
        "embedding",
        [("std=1, a=-3, b=3", "std=0.02, a=-3, b=3")],
        "another deviation",
        "embedding.init_spread",
    ),
    "embedding: ids that are no integers": (
        "embedding",
        [("self.weight[ids]", "self.weight[ids.float()]")],
        "",
        "embedding.value",
    ),
    "adamw: the first group only": (
        "adamw",
        [(GROUPS, GROUPS.replace("groups:", "groups[:1]:"))],
        "param_groups[0]",
        "adamw.groups",
    ),
    "adamw: the last group only": (
        "adamw",
        [(GROUPS, GROUPS.replace("groups:", "groups[-1:]:"))],
        "the last group",
        "adamw.groups",
    ),
    "trainer: each document's counts overwrite the last one's": (
        "train_bpe",
        [(EACH_PIECE, EACH_PIECE + "            words = Counter()\n")],
        "only a part of the documents",
        "train_bpe.special_letters",
    ),
}
