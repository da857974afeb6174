"""Each letter that stands in a formula of a chapter is explained on the notation page."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
CHAPTERS = sorted((ROOT / "notebooks").glob("[0-9]*.md"))
FORMULA = re.compile(r"\$\$(.+?)\$\$|\$([^$\n]+?)\$", re.DOTALL)
WORDS = re.compile(r"\\(?:text|mathrm|operatorname|begin|end)\*?\{[^}]*\}")
GREEK = {"Theta", "theta", "omega", "sigma", "alpha", "beta", "lambda", "eta", "varepsilon", "epsilon", "gamma", "mu"}


def letters(text):
    """Return the capital and the Greek letters of a page's formulas."""
    text = re.sub(r"```.*?```|`[^`\n]*`", "", text, flags=re.DOTALL)
    found = set()
    for formula in (a or b for a, b in FORMULA.findall(text)):
        formula = WORDS.sub("", formula)
        found |= set(re.findall(r"\\([A-Za-z]+)", formula)) & GREEK
        found |= set(re.findall(r"(?<![A-Za-z])[A-Z](?![a-z])", re.sub(r"\\[A-Za-z]+", " ", formula)))
    return found


KNOWN = letters((ROOT / "book/notation.md").read_text(encoding="utf-8"))


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
def test_letters_of_formulas_are_on_the_notation_page(path):
    strange = letters(path.read_text(encoding="utf-8")) - KNOWN
    assert not strange, f"explain {', '.join(sorted(strange))} in book/notation.md"


def test_letters_are_found():
    text = r"It is $x W^\top$, $\sigma_{\text{Data}}$ and `$Z$`." + "\n$$\\operatorname{E} Q_i$$\n```\n$Y$\n```\n"
    assert letters(text) == {"W", "sigma", "Q"}
