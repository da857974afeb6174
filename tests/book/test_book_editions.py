"""The pages on editions and on what others got: each cell runs, all data are shown, figures in the text are theirs."""

import re
from dataclasses import replace
from pathlib import Path

import jupytext
import pytest
import yaml

from cs336_lib.editions import BOARD, COURSE_PRICES, DIFFERENCES, EDITIONS, EFFECTS, REPORTS, SLIPS
from cs336_lib.editions.reports import COMPARISONS, H100_PRICE, OUTSIDE_RATE, SNAPSHOT
from cs336_lib.experiments import editions_page

ROOT = Path(__file__).resolve().parents[2]
PAGES = ("editions", "others", "problems", "errata")


def page(name):
    return (ROOT / f"book/{name}.md").read_text(encoding="utf-8")


def shown(name):
    """Run the cells of a page and return what they show."""
    found, names = [], {}
    for cell in jupytext.reads(page(name), "md:myst").cells:
        if cell.cell_type == "code":
            *before, last = cell.source.strip().splitlines()
            exec("\n".join(before), names)
            found.append(eval(last, names).data)
    return "\n".join(found)


@pytest.mark.parametrize("name", PAGES)
def test_the_page_is_executed_and_its_tables_scroll_by_themselves(name):
    assert yaml.safe_load(page(name).split("---")[1]) == {"file_format": "mystnb"}
    html = shown(name)
    assert html.count("<table") == html.count('<div class="records"><table') == html.count("</table></div>") > 0


def test_all_differences_and_facts_are_shown():
    html = shown("editions")
    for one in DIFFERENCES:
        assert all(editions_page.html(text) in html for text in (one.what, one.old, one.new, one.ours))
    assert all(edition.label in html and f"{edition.d_ff:,}" in html for edition in EDITIONS.values())


def test_each_difference_that_changes_an_answer_is_named():
    named = {
        "`d_ff` of GPT-2 XL": "the sizes of GPT-2",
        "activations to count": "the activations to count",
        "training time to compute": "the device of [chapter 5]",
        "AdamW, algorithm 1": "the place of the weight decay in the AdamW of [chapter 6]",
        "leaderboard": "the rules of the leaderboard",
    }
    (sentence,) = re.findall(r"^.*Those that change one are .*$", page("editions"), re.MULTILINE)
    assert named.keys() == {one.what for one in DIFFERENCES if one.changes_answer}
    assert all(words in sentence for words in named.values())


def test_all_slips_are_shown_with_their_versions():
    html = shown("errata")
    for slip in SLIPS:
        assert f'>{editions_page.html(slip.right)}</td><td class="text">{slip.span}</td>' in html


def test_all_that_others_report_is_shown_with_its_source():
    html = shown("others")
    for report in REPORTS:
        assert editions_page.html(report.source) in html and f"{report.loss[0]:g}" in html
    for entry in BOARD:
        assert f"{entry.loss:g}" in html and editions_page.html(entry.made_of) in html
    assert all(name in html for name in (*EFFECTS, *COURSE_PRICES))
    assert "ours: " in html and "not comparable with those above" in html


@pytest.mark.parametrize(
    ("data", "path", "texts"),
    [
        ("tales", "tinystories-17m-tales-gpu", []),  # the preset's name is no text
        ("tales", "owt-17m", []),
        ("texts/owt-sample.txt", "tinystories-17m", ["OpenWebText"]),
        ("tinystories", "a-run", ["TinyStories"]),
        ("tinystories-sample.txt", "a-run", ["TinyStories"]),
        ("owt", "a-run", ["OpenWebText"]),
        ("growth.txt", "a-run", []),
        ("growth-sample.txt", "a-run", []),
    ],
)
def test_a_run_of_ours_stands_below_the_text_that_its_record_names(monkeypatch, data, path, texts):
    one = next(run for run in editions_page.training_runs() if run.path == "owt-sample-cpu")
    run = replace(one, path=path, config=one.config.replace(data=data, valid_data=None))
    monkeypatch.setattr(editions_page, "training_runs", lambda: [run])
    tables = {text: editions_page.report_table(text) for text in editions_page.TEXTS}
    assert [text for text, html in tables.items() if f"ours: {path}" in html] == texts
    assert all(("a sample of the text" in tables[text]) == ("-sample" in data) for text in texts)


def test_the_page_excepts_the_runs_that_are_ours():
    rows = re.findall(r"ours: ([\w.-]+)", shown("others"))
    assert rows == ["tinystories-sample-cpu", "owt-sample-cpu"]
    assert 'but for the rows that say "ours"' in page("others")


def test_figures_in_the_text_are_those_of_the_data():
    text = page("others")
    base = [loss for one in REPORTS if one.settings.startswith("base model, 327.68 M") for loss in one.loss]
    tuned = sorted(base)
    assert "between 1.31 and 1.37" in text and round(tuned[0], 2) == 1.31 and round(tuned[-1], 2) == 1.37
    swept = min(min(one.losses.values()) for one in COMPARISONS if one.settings.startswith("base model, 327.68 M"))
    assert f"sweeps below at {swept:.2f}" in text
    by_entry = {entry.entry: entry.loss for entry in BOARD}
    assert f"reaches {by_entry['#120']:.2f}" in text and f"alone {by_entry['#140']:.2f} at best" in text
    assert SNAPSHOT in text and f"{OUTSIDE_RATE:,} tokens per second" in text
    assert f"for an H100 {H100_PRICE:g} USD per hour" in text
    for edition in EDITIONS.values():
        assert f"{edition.leaderboard_minutes} minutes on one" in text


def test_prices_of_the_course_and_of_an_entry():
    prices = dict(re.findall(r"<td>(\w+)</td>.*?<td class=\"number\">(\d+)</td></tr>", editions_page.price_table()))
    assert prices == {"RunPod": "85", "Nebius": "94", "Modal": "106", "Lambda": "114", "Together": "127"}
    rows = re.findall(r"<tr><td>NVIDIA (.+?)</td>(.+?)</tr>", editions_page.entry_table())
    cells = [(name, *re.findall(r">([\d.,%]+)<", rest)) for name, rest in rows]
    assert [(name, share) for name, share, *_ in cells] == [
        ("H100 SXM", "27%"),
        ("H100 SXM", "30%"),
        ("B200", "27%"),
        ("B200", "30%"),
    ]
    assert all(int(minutes) <= int(allowed) for _, share, minutes, allowed, *_ in cells if share == "30%")
    assert "123,685,632 parameters" in editions_page.entry_facts()


def test_chapter_8_and_10_quote_the_data():
    rates = (ROOT / "notebooks/08_learning_rate.md").read_text(encoding="utf-8")
    board = (ROOT / "notebooks/10_leaderboard.md").read_text(encoding="utf-8")
    for edition, words in (("2025", "30 to 40 minutes"), ("2026", "20 to 30 minutes")):
        low, high = EDITIONS[edition].tinystories_minutes
        assert words == f"{low} to {high} minutes" and words in rates
    assert f"{EDITIONS['2025'].target_loss} within 4 hours of an H100" in rates
    best = {year: sorted(e.loss for e in BOARD if e.edition == year and e.listed) for year in EDITIONS}
    assert f"has {best['2026'][0]:.3f}" in board
    assert f"from outside {best['2025'][0]:.3f}" in board and f"class {best['2025'][1]:.3f}" in board
    assert f"context of **{EDITIONS['2026'].leaderboard_context}**" in board
