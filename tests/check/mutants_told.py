"""Mistakes of which another cause was told, or none: the question that is their only fault, and what its cause says."""

SPLITTER = "        if self.special_tokens:\n            longest"
# name -> (problem, replacements in the plain solution, what the cause says, the question)
TOLD = {
    "an empty pattern of special tokens": (
        "tokenizer",
        [(SPLITTER, SPLITTER.replace("self.special_tokens", "True"))],
        "an empty pattern",
        "tokenizer.no_specials",
    ),
}
