"""Another pattern, and whatever is done to a text before it is cut, is caught in training and in encoding."""

import pytest
from asking import LARGE, PLAIN, adapters_of, answers_of

from cs336_lib.check.child.case import CHECKS
from cs336_lib.check.child.runner import WRONG

CONTRACTION, LETTERS, NUMBERS = r"'(?:[sdmt]|ll|ve|re)", r" ?\p{L}+", r" ?\p{N}+"
REST, LAST, SPACES = r" ?[^\s\p{L}\p{N}]+", r"\s+(?!\S)", r"\s+"
RIGHT = [CONTRACTION, LETTERS, NUMBERS, REST, LAST, SPACES]


def parts(*changes):
    """The pattern with some of its parts replaced, or left out where the new one is empty."""
    new = dict(changes)
    return "|".join(part for part in (new.get(part, part) for part in RIGHT) if part)


PATTERNS = {
    r"\w and \d": parts((LETTERS, r" ?\w+"), (NUMBERS, r" ?\d+"), (REST, r" ?[^\s\w]+")),
    r"\w for letters": parts((LETTERS, r" ?\w+")),
    r"\w without digits and _": parts((LETTERS, r" ?[^\W\d_]+"), (NUMBERS, r" ?\d+"), (REST, r" ?(?:[^\s\w]|_)+")),
    r"\d for numbers": parts((NUMBERS, r" ?\d+"), (REST, r" ?[^\s\p{L}\d]+")),
    "letters and numbers in one": parts((LETTERS, r" ?[\p{L}\p{N}]+")),
    "letters with their marks": parts((LETTERS, r" ?[\p{L}\p{M}]+"), (REST, r" ?[^\s\p{L}\p{M}\p{N}]+")),
    "a to z, any case": parts((LETTERS, r" ?[A-Za-z]+"), (NUMBERS, r" ?[0-9]+"), (REST, r" ?[^\sA-Za-z0-9]+")),
    "_ is a letter": parts((LETTERS, r" ?[\p{L}_]+"), (REST, r" ?[^\s\p{L}\p{N}_]+")),
    "three digits at most": parts((NUMBERS, r" ?\p{N}{1,3}")),
    "three digits at most, no space": parts((NUMBERS, r"\p{N}{1,3}")),
    "digit by digit": parts((NUMBERS, r" ?\p{N}")),
    "sign by sign": parts((REST, r" ?[^\s\p{L}\p{N}]")),
    "letters without their space": parts((LETTERS, r"\p{L}+")),
    "numbers without their space": parts((NUMBERS, r"\p{N}+")),
    "signs without their space": parts((REST, r"[^\s\p{L}\p{N}]+")),
    "any white space before letters": parts((LETTERS, r"\s?\p{L}+")),
    "any white space before numbers": parts((NUMBERS, r"\s?\p{N}+")),
    "any white space before signs": parts((REST, r"\s?[^\s\p{L}\p{N}]+")),
    "all spaces before letters": parts((LETTERS, r" *\p{L}+")),
    "one sign before letters": parts((LETTERS, r"[^\r\n\p{L}\p{N}]?\p{L}+")),
    "newlines after signs": parts((REST, r" ?[^\s\p{L}\p{N}]+[\r\n]*")),
    "newlines apart": parts((LAST, r"\s*[\r\n]+|\s+(?!\S)")),
    "lines apart": parts((LAST, r"[^\S\n]+(?!\S)|\n"), (SPACES, r"[^\S\n]+")),
    "without the last-space rule": parts((LAST, "")),
    "the last-space rule looks for a space": parts((LAST, r"\s+(?! )")),
    "spaces one by one": parts((LAST, ""), (SPACES, r"\s")),
    "only blanks are white space": parts(
        (LAST, r"[ \t\r\n]+(?!\S)"), (SPACES, r"[ \t\r\n]+"), (REST, r" ?[^ \t\r\n\p{L}\p{N}]+")
    ),
    "without contractions": parts((CONTRACTION, "")),
    "contractions in any case": parts((CONTRACTION, f"(?i:{CONTRACTION})")),
    "any letters after an apostrophe": parts((CONTRACTION, r"'\p{L}+")),
    "any one letter after an apostrophe": parts((CONTRACTION, r"'(?:ll|ve|re|\p{Ll})")),
    "curly apostrophes as well": parts((CONTRACTION, r"['\u2019](?:[sdmt]|ll|ve|re)")),
    "a space before a contraction": parts((CONTRACTION, " ?" + CONTRACTION)),
    "contractions stay with their word": parts((LETTERS, r" ?\p{L}+(?:'(?:[sdmt]|ll|ve|re))?")),
    "contractions last": "|".join([*RIGHT[1:], CONTRACTION]),
    **{f"without 's {one}": parts((CONTRACTION, f"'(?:[{'sdmt'.replace(one, '')}]|ll|ve|re)")) for one in "sdmt"},
    "without 'll": parts((CONTRACTION, "'(?:[sdmt]|ve|re)")),
    "without 've": parts((CONTRACTION, "'(?:[sdmt]|ll|re)")),
    "without 're": parts((CONTRACTION, "'(?:[sdmt]|ll|ve)")),
    "white space apart": r"\S+|\s+",
    "a space and what follows": r" ?\S+|\s+",
    "words and signs": r"\w+|[^\w\s]+|\s+",
    "everything": r"[\s\S]+",
}
# What is done to a text, as an expression in `text`.
PREPARATIONS = {
    "lower": "text.lower()",
    "upper": "text.upper()",
    "casefold": "text.casefold()",
    **{form: f"__import__('unicodedata').normalize('{form}', text)" for form in ("NFC", "NFD", "NFKC", "NFKD")},
    "strip": "text.strip()",
    "lstrip": "text.lstrip()",
    "rstrip": "text.rstrip()",
    "strip newlines": "text.strip('\\n')",
    "strip spaces": "text.strip(' ')",
    "strip tabs": "text.strip('\\t')",
    r"\r\n to \n": "text.replace('\\r\\n', '\\n')",
    r"\r to \n": "text.replace('\\r', '\\n')",
    r"no \r": "text.replace('\\r', '')",
    "universal newlines": "text.replace('\\r\\n', '\\n').replace('\\r', '\\n')",
    r"\n to \r\n": "text.replace('\\n', '\\r\\n')",
    "tabs to spaces": "text.replace('\\t', ' ')",
    "spaces in a row are one": "regex.sub(r'\\s+', ' ', text)",
    "blanks in a row are one": "regex.sub(' +', ' ', text)",
    "words only": "' '.join(text.split())",
    "no-break spaces to spaces": "text.replace('\\u00a0', ' ')",
    "no control characters": "regex.sub(r'[\\x00-\\x08]', '', text)",
    "no invisible characters": "regex.sub(r'\\p{Cf}', '', text)",
    "ASCII only": "text.encode('ascii', 'ignore').decode()",
    "straight apostrophes": "text.replace('\\u2019', chr(39))",
    "without marks": "regex.sub(r'\\p{M}', '', text)",
    "a newline at the end": "text + '\\n'",
    "a space at the beginning": "' ' + text",
}
LINES = {
    "lines without their ends": "text.split('\\n')",
    "lines": "text.splitlines()",
    "lines with their ends": "text.splitlines(keepends=True)",
    "paragraphs": "text.split('\\n\\n')",
    "sentences": "regex.split('(?<=[.!?])', text)",
    "words of str.split": "text.split()",
    "after each space": "regex.split('(?<= )', text)",
    "before each space": "regex.split('(?= )', text)",
}
PIECES = "            for match in regex.finditer(PAT, piece):\n                words"
ENCODED = "                for match in regex.finditer(PAT, piece):\n                    out"
LITERAL = 're.split("|".join(re.escape(token) for token in longest_first), text)'
# The special token is cut out of the text in a wrong way: of the trainer's text only.
SPLITS = {
    "not escaped": 're.split("|".join(longest_first), text)',
    "in any case": 're.split("(?i)" + "|".join(re.escape(token) for token in longest_first), text)',
    "with a newline": 're.split("(?:" + "|".join(re.escape(t) for t in longest_first) + ")\\n?", text)',
    "with a newline before": 're.split("\\n?(?:" + "|".join(re.escape(t) for t in longest_first) + ")", text)',
    "with spaces around": 're.split(" *(?:" + "|".join(re.escape(t) for t in longest_first) + ") *", text)',
    "whatever is in angle brackets": 're.split("<[^>]*>|" + "|".join(re.escape(t) for t in longest_first), text)',
    "the first one only": "text.split(special_tokens[0])",
    "the last document left out": LITERAL + "[:-1] or [text]",
    "the first document left out": LITERAL + "[1:] or [text]",
}


def caught(edits, problem):
    """The questions of a problem, those about time left aside, that a changed solution answers wrong."""
    text = PLAIN.read_text()
    for old, new in edits:
        assert old in text, old
        text = text.replace(old, new)
    names = [name for name, one in CHECKS.items() if one.problem == problem and not one.slow and one.kind != "choice"]
    names = [n for n in names if n not in LARGE and not n.startswith(("tokenizer.stream", "tokenizer.long"))]
    return {name for name, answer in answers_of(adapters_of(text), names).items() if answer.status == WRONG}


@pytest.mark.parametrize("problem", ["train_bpe", "tokenizer"])
@pytest.mark.parametrize("name", PATTERNS)
def test_another_pattern_is_caught(name, problem):
    assert caught([("|".join(RIGHT), PATTERNS[name])], problem)


@pytest.mark.parametrize("name", PREPARATIONS)
def test_a_trainer_that_changes_its_text_is_caught(name):
    done = PREPARATIONS[name]
    assert caught(
        [("    text = read_text(input_path)\n", f"    text = read_text(input_path)\n    text = {done}\n")], "train_bpe"
    )


@pytest.mark.parametrize("name", PREPARATIONS)
def test_a_trainer_that_changes_each_document_is_caught(name):
    done = PREPARATIONS[name].replace("text", "piece")
    assert caught([(PIECES, f"            piece = {done}\n" + PIECES)], "train_bpe")


@pytest.mark.parametrize("name", PREPARATIONS)
def test_an_encoder_that_changes_its_text_is_caught(name):
    done = PREPARATIONS[name]
    assert caught(
        [("    def encode(self, text):\n", f"    def encode(self, text):\n        text = {done}\n")], "tokenizer"
    )


@pytest.mark.parametrize("name", LINES)
def test_a_text_that_is_cut_before_the_pattern_is_caught(name):
    for problem, place in (("train_bpe", PIECES), ("tokenizer", ENCODED)):
        step = " " * (len(place) - len(place.lstrip()))
        first, second = place.split("\n")
        inner = LINES[name].replace("text", "piece")
        new = f"{step}for piece in {inner}:\n    {first}\n    {second}"
        assert caught([(place, new)], problem), problem


@pytest.mark.parametrize("name", SPLITS)
def test_special_tokens_that_are_cut_out_in_another_way_are_caught(name):
    assert caught([(LITERAL, SPLITS[name])], "train_bpe")


@pytest.mark.parametrize(
    ("done", "blamed"),
    [
        (PREPARATIONS["universal newlines"], {"train_bpe.crlf"}),
        (PREPARATIONS["strip"], {"train_bpe.special_spaces"}),
        (PREPARATIONS["NFC"], {"train_bpe.as_it_is"}),
    ],
)
def test_a_question_about_something_else_does_not_blame(done, blamed):
    read = "    text = read_text(input_path)\n"
    assert caught([(read, f"{read}    text = {done}\n")], "train_bpe") == blamed
