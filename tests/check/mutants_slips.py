"""Slips that stop the code - a misspelled name, a forgotten return, a refusal - and the whole cause of their only fault."""

from mutants_training import NORM

from cs336_lib.check.child.errors import NOTHING, REFUSED, SIGNATURE
from cs336_lib.check.child.questions.optimizer_rules import NO_CLOSURE
from cs336_lib.check.child.questions.streams import NEXT
from cs336_lib.check.child.questions.tokenizer_edges import NO_GAP

CACHE = "        self.cache = {}\n"
DECODE = 'return b"".join(self.vocab[i] for i in ids).decode("utf-8", errors="replace")'
MADE = "    return Tokenizer(vocab, merges, special_tokens)\n"
NONE_BACK = NOTHING.format("a function or a method")
# name -> (problem, replacements in the plain solution, the cause, "" where none is known)
SLIPS = {
    "encode: a misspelled attribute": ("tokenizer", [("self.ranks.get(pair", "self.rank.get(pair")], ""),
    "encode: returns nothing": (
        "tokenizer",
        [
            (
                "                    out.extend(self.encode_word(match.group()))\n        return out",
                "                    out.extend(self.encode_word(match.group()))\n",
            )
        ],
        NONE_BACK,
    ),
    "get_tokenizer: returns nothing": (
        "tokenizer",
        [(MADE, MADE.replace("return ", ""))],
        NOTHING.format("get_tokenizer"),
    ),
    "get_tokenizer: one argument too few": ("tokenizer", [(MADE, "    return Tokenizer(vocab)\n")], ""),
    "tokenizer: __init__ fails": (
        "tokenizer",
        [("        self.vocab = dict(vocab)\n", "        self.vocab = {k: v.decode() for k, v in vocab.items()}\n")],
        "",
    ),
    "decode: bytes joined as text": ("tokenizer", [(DECODE, 'return "".join(self.vocab[i] for i in ids)')], ""),
    "specials: looked up as text": (
        "tokenizer",
        [('out.append(self.ids[piece.encode("utf-8")])', "out.append(self.ids[piece])")],
        "",
    ),
    "specials: appended as text": (
        "tokenizer",
        [
            (
                'self.vocab[max(self.vocab) + 1] = token.encode("utf-8")',
                "self.vocab[max(self.vocab) + 1] = token",
            ),
            (
                "        self.ids = {token: i for i, token in self.vocab.items()}\n",
                "        self.ids = {(t if isinstance(t, bytes) else t.encode()): i for i, t in self.vocab.items()}\n",
            ),
        ],
        "",
    ),
    "a vocabulary without gaps": (
        "tokenizer",
        [(CACHE, CACHE + "        self.table = [self.vocab[i] for i in range(len(self.vocab))]\n")],
        NO_GAP,
    ),
    "stream: next of no strings": (
        "tokenizer",
        [
            (
                '        held = ""\n        for chunk in iterable:\n',
                "        it = iter(iterable)\n        held = next(it)\n        for chunk in it:\n",
            )
        ],
        NEXT,
    ),
    "linear: a misspelled attribute": (
        "linear",
        [("        return x @ self.weight.T", "        return x @ self.w.T")],
        "",
    ),
    "softmax: called without dim": (
        "scaled_dot_product_attention",
        [("return run_softmax(scores, -1) @ V", "return run_softmax(scores) @ V")],
        "",
    ),
    "softmax: another argument": (
        "softmax",
        [("def run_softmax(in_features, dim):", "def run_softmax(in_features, dim, scale):")],
        SIGNATURE,
    ),
    "adamw: a misspelled attribute": (
        "adamw",
        [("                state = self.state[p]\n", "                state = self.states[p]\n")],
        "",
    ),
    "adamw: step without a closure": (
        "adamw",
        [
            (
                "    def step(self, closure=None):\n        loss = None\n",
                "    def step(self):\n        loss = closure = None\n",
            )
        ],
        NO_CLOSURE,
    ),
    "schedule: a warm-up of zero is refused": (
        "learning_rate_schedule",
        [
            (
                "    if it < warmup_iters:\n",
                "    assert 0 < warmup_iters < cosine_cycle_iters\n    if it < warmup_iters:\n",
            )
        ],
        REFUSED,
    ),
    "clipping: no gradient is refused": (
        "gradient_clipping",
        [("        return\n" + NORM, '        raise ValueError("no gradients")\n' + NORM)],
        REFUSED,
    ),
    "trainer: no special tokens are refused": (
        "train_bpe",
        [("    merges = []\n", '    assert special_tokens, "special tokens needed"\n    merges = []\n')],
        REFUSED,
    ),
}
