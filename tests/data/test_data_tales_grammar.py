"""The grammar engine on small worlds that can be enumerated: probabilities, entropy, unambiguity, parsing."""

import math
import random

import pytest

from cs336_lib.data.tales import ambiguity, parser, walk
from cs336_lib.data.tales.grammar import read_rules
from cs336_lib.data.tales.information import maximum_length, means
from cs336_lib.data.tales.lexicon import GrammarError, read_lexicon
from cs336_lib.data.tales.program import compile_program

LEXICON = """
table name | he | his
  [girl]
  5 Lily, 3 Mia : she | her
  [boy]
  2 Tom : he | his
table place | in
  3 park : in the park
  beach : at the beach
table spot of place
  park > by the tree, 2 behind the bench, on the swing
  beach > in the sand, near a shell
"""
RULES = """
story:
  {hero=name} and {friend=~hero} [2:ran|walked[ fast|]] {place=place.in}. <look hero> <almost> <end!>
look(who):
  {who} looked {spot=spot@place} and {second=~spot}.
  3: {who.He} sat {spot=spot@place}.
almost:
  It was {hero.his} idea.
  Yes, {friend}.
end:
  Bye.
  The end.
  So {hero} slept.
  {hero.He} slept.
"""


@pytest.fixture(scope="module")
def small():
    return compile_program(LEXICON, RULES)


@pytest.fixture(scope="module", params=[0, 1], ids=["train", "valid"])
def stories(small, request):
    return list(walk.enumerate_stories(small, request.param))


def test_probabilities_of_all_stories_of_a_split_sum_to_one(stories):
    assert math.fsum(math.exp(d.log_prob) for _, d in stories) == pytest.approx(1, abs=1e-12)


def test_all_stories_differ(stories):
    assert len({text for text, _ in stories}) == len(stories) > 500


def test_splits_have_no_story_in_common(small):
    train, valid = ({text for text, _ in walk.enumerate_stories(small, split)} for split in (0, 1))
    assert not train & valid


def test_entropy_and_mean_lengths_equal_those_of_the_enumeration(small, stories):
    exact = means(small)
    p = [math.exp(d.log_prob) for _, d in stories]
    assert exact.nats == pytest.approx(-math.fsum(q * math.log(q) for q in p), rel=1e-12)
    assert exact.bytes == pytest.approx(math.fsum(q * len(t) for q, (t, _) in zip(p, stories, strict=True)), rel=1e-12)
    words = math.fsum(q * len(t.split()) for q, (t, _) in zip(p, stories, strict=True))
    assert exact.words == pytest.approx(words, rel=1e-12)
    assert maximum_length(small) >= max(len(t) for t, _ in stories)


def test_entropy_matches_the_closed_form():
    program = compile_program(LEXICON, "story:\n  {a=name}, {b=~a}. [Yes|No]. <end!>\nend:\n  Bye.\n  Ciao.")
    weights = (5, 3, 2)
    first = -sum(w / 10 * math.log(w / 10) for w in weights)
    second = -sum(a / 10 * b / (10 - a) * math.log(b / (10 - a)) for a in weights for b in weights if a != b)
    assert means(program).nats == pytest.approx(first + second + math.log(2), rel=1e-14)


def test_parsing_recovers_each_derivation(small, stories):
    for text, derivation in stories:
        assert parser.parse(small, text) == derivation


def test_parsing_accepts_no_text_but_the_stories(small, stories):
    texts = {text for split in (0, 1) for text, _ in walk.enumerate_stories(small, split)}
    draw = random.Random(0)
    for text, _ in stories[::7]:
        at = draw.randrange(len(text))
        for damaged in (text[:at], text[:at] + "x" + text[at:], text[:at] + text[at + 1 :], text + " ", text + text):
            if damaged in texts:
                continue
            with pytest.raises(parser.NotATaleError) as caught:
                parser.parse(small, damaged)
            assert caught.value.position <= len(damaged)


def test_the_parser_says_where_and_what_was_expected(small):
    with pytest.raises(ValueError, match=r"byte 9, after 'Lily and ': found 'Lily ran', .* has 'Mia', 'Tom'"):
        parser.parse(small, "Lily and Lily ran")


def test_generated_frequencies_follow_the_stated_probabilities(small):
    # 12,000 draws of the first name: a chi-square of two degrees of freedom stays below 13.8 in 99.9% of cases.
    counts = {"Lily": 0, "Mia": 0, "Tom": 0}
    for index in range(12_000):
        counts[walk.generate(small, 5, 0, index)[0].split()[0]] += 1
    expected = {"Lily": 6000, "Mia": 3600, "Tom": 2400}
    assert sum((counts[n] - expected[n]) ** 2 / expected[n] for n in counts) < 13.8


def test_the_small_world_is_unambiguous(small):
    assert ambiguity.check(small) < 40


@pytest.mark.parametrize(
    "story",
    [
        "A [red|red] cat.",  # the same words twice
        "A[ red|][ red|] cat.",  # which of the two wrote "red"?
        "{a=word}[s|] sat.",  # "cat" + "s" or "cats"?
        "[{a=name} ran|{a=name:boy} ran].",  # Tom can be either
        "{a=name}[|, {b=~a}, {c=~b}|, {b=~a}, {c=~a}].",  # Tom, Mia, Lily is in both lists
    ],
)
def test_ambiguous_grammars_are_refused(story):
    lexicon = LEXICON + "\ntable word\n  cat, cats"
    program = compile_program(lexicon, f"story:\n  {story} [Yes|No]. <end!>\nend:\n  Bye.\n  Ciao.")
    with pytest.raises(GrammarError, match="two alternatives can both write"):
        ambiguity.check(program)


@pytest.mark.parametrize(
    "story",
    [
        "A [red|reddish] cat.",
        "{a=word} sat.",  # "cats" begins with "cat", but what follows differs
        "{a=name}[ ran| ran, {b=~a} too].",
        "[{a=name:girl} ran|{a=name:boy} ran].",
    ],
)
def test_words_that_begin_alike_are_no_ambiguity(story):
    lexicon = LEXICON + "\ntable word\n  cat, cats"
    program = compile_program(lexicon, f"story:\n  {story} [Yes|No]. <end!>\nend:\n  Bye.\n  Ciao.")
    assert ambiguity.check(program) < 12


def test_ambiguity_that_depends_on_the_register_is_found():
    lexicon = "table name\n  Tom, Ann\ntable other\n  Tom, Bea"
    rules = "story:\n  {a=name}, {b=other}: [{a} fell|{b} fell]. [Yes|No]. <end!>\nend:\n  Bye.\n  Ciao."
    with pytest.raises(GrammarError, match="two alternatives can both write"):
        ambiguity.check(compile_program(lexicon, rules))


def test_siblings_never_clash():
    lexicon = "table name\n  Tom, Ann, Annabel"
    rules = "story:\n  {a=name} and {b=~a}: [{a} fell|{b} fell]. [Yes|No]. <end!>\nend:\n  Bye.\n  Ciao."
    assert ambiguity.check(compile_program(lexicon, rules)) < 12


@pytest.mark.parametrize(
    ("lexicon", "rules", "message"),
    [
        ("cat", "story:\n  x", "before any 'table'"),
        ("table a\ntable b\n  x", "story:\n  x", "'a' is empty"),
        ("table a | x\n  cat", "story:\n  x", "0 forms"),
        ("table a of b\n  cat", "story:\n  x", "must be 'table NEW'"),
        ("", "story:\n  <nobody> <end!>\nend:\n  a\n  b", "no rule 'nobody'"),
        ("", "story:\n  <story>", "calls itself"),
        ("", "story:\n  [a|b", r"no '\]'"),
        ("", "story:\n  {a b}", "can't read slot"),
        ("", "story:\n  {a}", "nothing fills register 'a'"),
        ("table t\n  x", "story:\n  {a=t.his}", "no form 'his'"),
        ("table t\n  x", "story:\n  {a=t} {b=~a}", "fewer than 2"),
        ("table t\n  x\ntable u\n  y", "story:\n  {a=t} {a=u}", "holds t, not u"),
        ("", "story:\n  a", "needs one closing call"),
        ("", "story:\n  [a|b] <end!>\nend:\n  a\n  b\n  c", "even number of equally likely"),
        ("", "story:\n  [2: a|b] <end!>\nend:\n  a\n  b", "choice before the closing one"),
        ("", "story:\n  a <end!>\nend:\n  a\n  b", "choice before the closing one"),
    ],
)
def test_bad_grammars_name_what_is_wrong(lexicon, rules, message):
    with pytest.raises(GrammarError, match=message):
        compile_program(lexicon, rules)


def test_registers_read_before_they_are_filled_are_found():
    rules = "story:\n  [{a=name}|Nobody] came, {a}. [Yes|No]. <end!>\nend:\n  Bye.\n  Ciao."
    with pytest.raises(GrammarError, match="before they are filled: a"):
        means(compile_program(LEXICON, rules))


def test_alternatives_can_be_continued_on_the_next_line():
    rules = read_rules("story:\n  2: a\n  + b // c\n  d")
    assert rules["story"].body.weights == (2, 1)
    assert rules["story"].body.options[0][0].text == "a b\nc"


def test_articles_follow_the_first_letter():
    assert read_lexicon("table t\n  owl, dog")["t"].form("A") == ["An owl", "A dog"]
