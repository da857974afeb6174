"""The editions' data agree with themselves, and with what the library computes."""

import re
from dataclasses import fields

import pytest

from cs336_lib.accounting import parameter_count
from cs336_lib.editions import (
    BOARD,
    COURSE_PRICES,
    DIFFERENCES,
    EDITIONS,
    PROBLEMS,
    REPORTS,
    SLIPS,
    edition,
    gpu_hours,
    points,
    problem,
)
from cs336_lib.editions.edition import Edition
from cs336_lib.editions.problems import CHAPTERS
from cs336_lib.editions.slips import ALL
from cs336_lib.model.config import ModelConfig, default_d_ff

PARTS = {
    "unicode1": "abc",
    "unicode2": "abc",
    "train_bpe_tinystories": "ab",
    "train_bpe_expts_owt": "ab",
    "tokenizer_experiments": "abcd",
    "transformer_accounting": "abcde",
    "adamw_accounting": "abcd",
    "learning_rate": "ab",
}


HANDOUTS = {
    # What the handouts and the repositories say, 2025 and 2026; typed from them a second time.
    "device": ("h100-sxm", "b200"),
    "unicode": ("16.0", "17.0"),
    "characters": (154_998, 159_801),
    "scripts": (168, 172),
    "tinystories_minutes": ((30, 40), (20, 30)),
    "target_loss": (1.45, 1.45),
    "laptop": ("M3 Max", "M4 Max"),
    "d_ff": (6_400, 4_288),
    "gated_list": (False, True),
    "accounting_device": ("a100-80gb", "h100-sxm"),
    "accounting_peak": (19.5e12, 495e12),
    "accounting_unit": ("days", "hours"),
    "decay_order": ("last", "first"),
    "leaderboard_minutes": (90, 45),
    "leaderboard_context": (0, 512),
    "leaderboard_limit": (5.0, 5.0),
    "official_tests": (45, 48),
    "python": ("3.11 or newer", "3.12 or 3.13"),
}
NAMES = {"name", "label", "versions"}
"""The fields that name an edition instead of saying something of it."""


def test_every_fact_of_an_edition_is_the_handouts():
    assert {field.name for field in fields(Edition)} == HANDOUTS.keys() | NAMES
    for year, place in (("2025", 0), ("2026", 1)):
        assert {name: getattr(EDITIONS[year], name) for name in HANDOUTS} == {
            name: pair[place] for name, pair in HANDOUTS.items()
        }


@pytest.mark.parametrize("year", EDITIONS)
def test_an_edition_is_found_by_its_year_and_its_names_agree(year):
    found = edition(year)
    assert found is edition(int(year)) is EDITIONS[year] and found.name == year
    major = {version.split(".")[0] for version in found.versions}
    assert major == {{"2025": "1", "2026": "26"}[year]} and found.label.startswith(f"{year} (v{major.pop()}.")
    assert [int(version.split(".")[2]) for version in found.versions] == sorted(
        {int(version.split(".")[2]) for version in found.versions}
    )


def test_both_editions_have_thirty_eight_problems_and_the_printed_sums():
    for year, total in {"2025": 107, "2026": 109}.items():
        names = [one.name(year) for one in PROBLEMS]
        assert len(set(names)) == len(names) == 38
        assert points(year) == total
    assert {year: gpu_hours(year) for year in EDITIONS} == {"2025": 23, "2026": 17}


def test_exactly_two_problems_got_points_and_exactly_one_another_name():
    changed = {one.key: (one.points["2025"], one.points["2026"]) for one in PROBLEMS if len({*one.points.values()}) > 1}
    assert changed == {"cross_entropy": (0, 1), "learning_rate_schedule": (0, 1)}
    assert [one.names for one in PROBLEMS if len(one.names) > 1] == [("adamw_accounting", "adamwAccounting")]
    assert problem("adamwAccounting") is problem("adamw_accounting")


def test_parts_are_letters_in_order():
    assert {one.key: one.parts for one in PROBLEMS if one.parts} == PARTS


@pytest.mark.parametrize("one", PROBLEMS, ids=lambda one: one.key)
def test_a_problem_has_every_edition_and_a_chapter(one):
    assert one.points.keys() == one.pages.keys() == EDITIONS.keys()
    assert not one.hours or one.hours.keys() == EDITIONS.keys()
    assert one.asks.keys() <= EDITIONS.keys() and one.older.keys() <= EDITIONS.keys()
    assert one.chapter in CHAPTERS


def test_pages_never_go_back_in_either_edition():
    for year in EDITIONS:
        pages = [one.pages[year] for one in PROBLEMS]
        assert pages == sorted(pages), year


@pytest.mark.parametrize("wrong", ["2024", 2027, "", True, None, "26.0.3"])
def test_an_unknown_edition_names_the_two(wrong):
    with pytest.raises(ValueError, match=r"unknown edition .*; there are '2025' and '2026'"):
        edition(wrong)


def test_an_unknown_problem_is_named():
    with pytest.raises(ValueError, match="no edition has a problem 'adamw_acounting'"):
        problem("adamw_acounting")


def test_d_ff_of_xl_follows_each_editions_rule():
    assert [edition.decay_order for edition in EDITIONS.values()] == ["last", "first"]
    assert EDITIONS["2025"].d_ff == 4 * 1_600
    assert (
        EDITIONS["2026"].d_ff == default_d_ff(1_600) == min(range(64, 6_400, 64), key=lambda f: abs(f - 8 * 1_600 / 3))
    )


def test_slips_name_versions_that_exist_and_rope_is_wrong_in_three():
    assert all(slip.versions and set(slip.versions) <= set(ALL) for slip in SLIPS)
    (rope,) = [slip for slip in SLIPS if slip.where == "`rope`"]
    assert set(ALL) - set(rope.versions) == {"1.0.3", "1.0.6", *EDITIONS["2026"].versions}


def test_parameters_in_the_slips_are_the_librarys():
    counts = parameter_count(ModelConfig.preset("tinystories-17m"))
    said = {int(n.replace(",", "")) for slip in SLIPS for n in re.findall(r"\d+,\d+,\d+", slip.right)}
    with_head = counts.total - counts["embedding"]
    assert said == {counts.total, with_head, with_head - counts["lm_head"]}


def test_differences_name_problems_and_differ():
    assert {name for one in DIFFERENCES for name in one.problems} <= {one.key for one in PROBLEMS}
    assert all(one.old != one.new and one.ours for one in DIFFERENCES)
    assert {one.kind for one in DIFFERENCES} == {"definition", "number", "rule"}


def test_what_others_report_says_where_it_is_from_and_is_in_range():
    assert all(report.source and report.settings for report in REPORTS)
    assert all(1.2 < loss < 2.01 for r in REPORTS if r.text == "TinyStories" for loss in r.loss)
    assert all(3 < loss < 4.5 for r in REPORTS if r.text == "OpenWebText" for loss in r.loss)
    assert all(entry.edition in EDITIONS and 2.9 < entry.loss <= 5 for entry in BOARD)
    listed = [entry.loss for entry in BOARD if entry.listed and entry.edition == "2026"]
    assert listed == sorted(listed)
    assert all(4 < price < 8 for price in COURSE_PRICES.values())
