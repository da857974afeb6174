"""Reader-visible words are American, and a rate is "per": in pages, docstrings, comments, messages and tests' names."""

import re
import subprocess

import pytest
from imports import ROOT

BRITISH = re.compile(
    r"""(?:
    [a-z]{2,}is(?:e|ed|es|ing|er|ers|ation|ations|able)
    | [a-z]*[ao]lys(?:ed?|ing)
    | (?:un|dis|mis|mono|multi)?(?:col|hon|fav|flav|behavi|neighb|lab|hum|harb|rum|arm|endeav|vig|vap|savi?|od)our
        (?:s|ed|ing|ite|ites|able|ably|ful|less|hood|ly|al)*
    | (?:cent|met|millimet|kilomet|lit|fib|theat|spect|calib|lust)re[sd]?
    | (?:cata|ana|mono|pro|epi)logues?
    | (?:label|model|travel|cancel|level|signal|total|tunnel|channel|fuel|dial|equal|marshal|initial)l(?:ed|ing|ers?)
    | (?:def|off|lic|pret)ences? | grey(?:s|er|ed|ish)? | learnt | burnt | spelt | leant | leapt | whilst | amongst
    | (?:to|after|up|down)wards | programmes? | cheques? | judgements? | artefacts? | practis(?:e|ed|es|ing)
    | (?:scept|mould|plough|storey|manoeuv)[a-z]* | (?:ful|instal|enrol|distil)(?:fil)? | ageing | maths
    )""",
    re.VERBOSE,
)
"""Families of British spellings; a word matches as a whole, in lower case."""

NOT_BRITISH = re.compile(
    r"[a-z]*(?:wis|pris|rais|promis|premis|demis|surmis|vis|ercis|precis|concis|incis|nois|pois|guis|ruis|spis|chis|paradis|"
    r"chandis|tortois|vertis|pertis|hastis)(?:es?|ed|ing|er|ers|able)|(?:a|sun|moon)?ris(?:es?|ing)|[a-z]*improvisations?"
)
"""Words of those shapes that Americans spell so, too."""

UNITS = (
    r"nats|bits|tokens|bytes|[A-Z]?FLOPs?|[kMGT]i?B|ms|steps|seconds|minutes|hours|numbers|stories|sequences|rows|files|"
    r"words|characters|examples|samples|entries|times|parameters|operations|chunks|parts|pages|cores|workers|USD|cents"
)
THINGS = (
    r"token|byte|second|step|layer|parameter|core|worker|device|epoch|minute|hour|day|word|story|sequence|batch|run|rank|"
    r"block|head|position|character|GPU hour|card|line|cell|page|file|document|example|call|pass|thread|part|chunk|"
    r"round|seed|node|row|edge|FLOP|element|pair|merge|group|shard|machine|model|entry|iteration|claim|notebook|chapter|id"
)
COUNT = r"\d[\d.,]*|one|two|three|four|five|six|eight|ten|twenty|\w+\}"
PREPOSITIONS = r"(?:of|in|into|within|on|to|at|by|for|as|is|from|than|with|if|and|or|per)\b"
PHRASE_ENDS = (
    r"[^\w'-]*(?:$|[.,;:!?)|\"}\]>=]|(?:of|on|in|for|at|that|to|and|or|when|as|over|with|about|between|left|which|"
    r"by|from|each|more|less|than|but|if|the|while|where|is|are)\b)"
)
RATE = re.compile(
    rf"(?<![\w-])(?:{UNITS}|(?:{COUNT})(?: (?!{PREPOSITIONS})[a-z]+)?) an? (?:{THINGS})\b(?={PHRASE_ENDS})"
)
"""A measure, "a", what it is measured by, and the end of the phrase: where a verb follows, "a" begins a clause."""

STORIES = ("results/", "cs336_lib/data/tales/world/", "tests/bpe/bpe_texts.py", "tests/project/test_project_words.py")
"""Texts that are data, and this list of wrong words."""
SPACE = re.compile(r"\s+")
QUOTED = re.compile(r'''"""[\s\S]*?"""|\'{3}[\s\S]*?\'{3}|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'|\#[^\n]*''')
"""Strings and comments of a Python file."""


def files():
    """Return the committed files that hold prose."""
    listing = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout.decode()
    names = [n for n in listing.rstrip("\0").split("\0") if n.endswith((".py", ".md", ".mjs", ".toml", ".yml"))]
    return [name for name in names if not name.startswith(STORIES) and (ROOT / name).is_file()]


def prose(name, text):
    """Return what is read as prose, and the names that the code uses: those stay as they are."""
    if not name.endswith(".py"):
        return re.sub(r"`[^`\n]*`|https?://\S+", "#", text), set(re.findall(r"[A-Za-z_]\w*(?=\()|\w+(?==)", text))
    found = [p.replace("_", " ") for p in re.findall(r"(?<=def )test_\w+", text)]
    names = set(re.findall(r"\w+", QUOTED.sub(" ", text)))
    for quoted in QUOTED.findall(text):
        if re.search(r"[\s:]", quoted):  # a string of one word is a key or a name
            found.append(re.sub(r"`[^`\n]*`", "#", quoted))
    return "\n|".join(found), names


def british(text, names=()):
    """Return the British spellings in a text, apart from names of the code."""
    words = set(re.findall(r"[A-Za-z][a-z]+", text)) - set(names)
    return sorted(w for w in words if BRITISH.fullmatch(w.lower()) and not NOT_BRITISH.fullmatch(w.lower()))


def rates(text):
    """Return the rates in a text that say "a" for "per"."""
    return RATE.findall(SPACE.sub(" ", text))


@pytest.fixture(scope="module")
def texts():
    if not (ROOT / ".git").exists():
        pytest.skip("this is no checkout: nothing is committed")
    return {name: prose(name, (ROOT / name).read_text(encoding="utf-8")) for name in files()}


def test_spelling_is_american(texts):
    modules = {part for name in texts for part in re.split(r"[/_.]", name)}  # a public name stays
    found = {name: british(text, names | modules) for name, (text, names) in texts.items()}
    assert len(found) > 300 and not {name: words for name, words in found.items() if words}


def test_a_rate_is_per(texts):
    found = {name: rates(text) for name, (text, _) in texts.items()}
    assert not {name: phrases for name, phrases in found.items() if phrases}


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("to normalise, initialised, Organising, quantisation, vectorised", 5),
        ("in neighbouring colours its behaviour, a catalogue, towards the centre", 6),
        ("labelled, criticised, randomise, modelling; analysed under a licence", 6),
        ("otherwise surprised: revise the exercise, a rising sunrise, a precise noise, analyses, dialogue", 0),
        ("four hours, your source, our sequence, called, filled, spelling, rolled, modeled, labels", 0),
    ],
)
def test_the_rule_knows_british_spellings(text, wrong):
    assert len(british(text)) == wrong


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("loss (nats a token)", 1),
        ("2 bytes an id for most, tokens a\nsecond.", 2),
        ("one file a part, six numbers a step: weak, 8 a worker", 3),
        ("{loss:.4f} bits a byte, 2 USD an hour", 2),
        ("how many bytes a file has, and the seconds a reader waits", 0),
        ("within 5 of a row, in UTF-32 a page, one of a pair; tokens per second", 0),
    ],
)
def test_the_rule_knows_rates(text, wrong):
    assert len(rates(text)) == wrong, rates(text)
