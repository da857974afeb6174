"""The catalog lists everything that `results/` holds, each once, with where it comes from."""

import json
import re
import shutil
from collections import Counter

import pytest

from cs336_lib import results
from cs336_lib.experiments import SUITES, catalogue, catalogue_page
from cs336_lib.training import RunRecord

HOME = results.folder()


@pytest.fixture(scope="module")
def runs():
    """Every run that is listed."""
    return catalogue.training_runs()


@pytest.fixture
def folder(tmp_path):
    """A folder of records: a finished run, a diverged one, one that was cut off."""
    plan = SUITES["lr-sweep"].plan("quick")
    for planned, (status, step) in zip(plan, (("finished", 80), ("diverged", 3), ("running", 40)), strict=False):
        place = tmp_path / "experiments/lr-sweep-quick" / planned.config.name
        record = RunRecord.create(place, planned.config, {"device": "Some GPU", "torch": "2.5.0", "threads": 1})
        record.append({"step": step, "tokens": 512 * step, "seconds": 1.5, "train_loss": 3.0, "tokens_per_second": 9.0})
        record.set_status(status, step)
    return tmp_path


def test_every_folder_with_a_config_is_one_run(runs):
    places = [path.parent.relative_to(HOME).as_posix() for path in HOME.rglob("config.json")]
    assert Counter(run.path for run in runs) == Counter(places)


def test_every_run_stands_in_the_tables_once(runs):
    tables = catalogue_page.suite_tables() + catalogue_page.single_runs()
    assert len(re.findall(r"<tr><td>", tables)) == len(runs)
    for run in runs:
        assert f"<code>{run.path.rpartition('/')[2]}</code>" in tables


def test_each_run_says_where_it_comes_from(runs):
    assert len(runs) > 100
    for record in runs:
        assert not record.provenance.missing(), record.path
        assert {"python", "torch"} <= record.provenance.versions.keys(), record.path
        assert record.provenance.threads > 0, record.path
        assert record.status in catalogue.DONE, f"{record.path}: a committed run is over"


def test_each_measurement_says_where_it_comes_from():
    records = [*catalogue.tokenizers(), *catalogue.measurements()]
    assert len(records) > 10
    for record in records:
        allowed = {"commit"} if record.path.startswith("tokenizers") else set()
        lacking = set(record.provenance.missing()) - allowed
        assert not lacking, f"{record.path} does not say its {', '.join(sorted(lacking))}: write it with harness.write"


def test_nothing_lies_in_results_unlisted():
    assert not catalogue.strays(), "each file must belong to a run, a tokenizer or a measurement"


def test_a_file_of_no_known_kind_is_found(folder):
    for name in ("README.md", "notes/loss.csv", "benchmarks/plot.png", "experiments/lr-sweep-quick/notes.txt"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("x")
    assert catalogue.strays(folder) == [
        "benchmarks/plot.png",
        "experiments/lr-sweep-quick/notes.txt",
        "notes/loss.csv",
    ]


def test_each_run_of_a_suite_is_one_that_its_plan_asks_for():
    assert not catalogue.unplanned(), "the plan has changed, or has no such run: make the record again or mend the plan"


def test_a_run_that_the_plan_does_not_ask_for_is_found(folder):
    home = folder / "experiments/lr-sweep-quick"
    shutil.copytree(home / "lr-0.001-seed0", home / "lr-7-seed0")
    assert catalogue.unplanned(folder) == ["experiments/lr-sweep-quick/lr-7-seed0"]


def test_statuses_are_counted(folder):
    row = next(row for row in catalogue.coverage(folder) if (row.name, row.scale) == ("lr-sweep", "quick"))
    assert (row.planned, row.finished, row.diverged, row.unfinished) == (29, 1, 1, 1)
    assert (row.recorded, len(row.missing), row.devices) == (2, 26, ("Some GPU",))


@pytest.mark.parametrize("row", catalogue.coverage(), ids=lambda row: f"{row.name}-{row.scale}")
def test_what_is_there_and_what_is_missing_make_up_the_plan(row):
    assert row.recorded + row.unfinished + len(row.missing) == row.planned


def test_a_run_that_was_cut_off_shows_as_such(folder):
    assert "interrupted at step 40 of 80" in catalogue_page.suite_tables(folder)
    assert "1 begun and not over" in catalogue_page.status_table(folder)
    assert "1 interrupted" in catalogue_page.suite_tables(folder)


LINES = [
    {"step": 8, "tokens": 4_000, "seconds": 1.0, "train_loss": 5.0, "tokens_per_second": 300.0},
    {"step": 8, "tokens": 4_000, "seconds": 1.0, "valid_loss": 4.5, "valid_bits_per_byte": 2.5},
    {"step": 16, "tokens": 8_000_000, "seconds": 70.0, "train_loss": 4.0, "tokens_per_second": 500.0},
    {"step": 16, "tokens": 8_000_000, "seconds": 70.0, "valid_loss": 3.25, "valid_bits_per_byte": 1.75},
]


@pytest.mark.parametrize(
    ("status", "step", "facts", "seconds", "rate"),
    [
        ("finished", 80, {"seconds": 90.0, "tokens_per_second": 1_234.0}, 90.0, 1_234.0),
        ("finished", 80, {}, 70.0, 500.0),
        ("interrupted", 12, {}, 70.0, 500.0),
        ("running", 0, {}, 70.0, 500.0),
    ],
)
def test_a_run_is_told_by_its_status_and_its_last_lines(tmp_path, status, step, facts, seconds, rate):
    config = SUITES["lr-sweep"].plan("quick")[0].config
    about = {
        "device": "Some GPU",
        "torch": "2.5.0",
        "python": "3.11.7",
        "date": "2026-11-28",
        "commit": "abc",
        "cores": "2",
    }
    record = RunRecord.create(tmp_path / "alone", config, {**about, "threads": 3})
    for line in LINES:
        record.append(line)
    record.set_status(status, step, **facts)
    (run,) = catalogue.training_runs(tmp_path)
    assert (run.path, run.group, run.config) == ("alone", "", config)
    assert (run.status, run.step) == ("interrupted" if status == "running" else status, max(step, 16))
    assert (run.tokens, run.seconds, run.tokens_per_second) == (8_000_000, seconds, rate)
    assert (run.valid_loss, run.bits_per_byte) == (3.25, 1.75)
    cells = [
        re.sub("<.*?>", "", cell) for cell in re.findall(r"<td.*?>(.*?)</td>", catalogue_page.single_runs(tmp_path))
    ]
    says = "finished" if status == "finished" else "interrupted at step 16 of 80"
    assert cells == [
        *("alone", "3.2500", "1.7500", says, f"{max(step, 16)}", "8.00 M", f"{seconds:.0f} s", f"{rate:,.0f}"),
        "Some GPU, 3 threads, python 3.11.7, torch 2.5.0, 2026-11-28, commit abc",
    ]


@pytest.mark.parametrize(("facts", "threads"), [({"threads": 3, "workers": 2}, 3), ({"workers": 2}, 2), ({}, 0)])
def test_threads_are_those_of_the_record_or_its_workers(facts, threads):
    assert catalogue.Provenance.of(facts).threads == catalogue.Provenance.of({"environment": facts}).threads == threads


def test_runs_of_a_suite_stand_in_the_order_of_its_plan_and_those_beside_it_last(folder):
    home = folder / "experiments/lr-sweep-quick"
    planned = [run.config.name for run in SUITES["lr-sweep"].plan("quick")[:3]]
    shutil.copytree(home / planned[0], home / "a-stranger")
    tables = catalogue_page.suite_tables(folder)
    assert re.findall(r"<tr><td><code>(.*?)</code>", tables) == [*planned, "a-stranger"]


def test_a_run_that_was_thrown_out_is_counted_by_itself(folder):
    RunRecord(folder / "experiments/lr-sweep-quick" / SUITES["lr-sweep"].plan("quick")[1].config.name).set_status(
        "diverged", 3, thrown_out=True
    )
    row = next(row for row in catalogue.coverage(folder) if (row.name, row.scale) == ("lr-sweep", "quick"))
    assert (row.finished, row.diverged, row.thrown_out, row.unfinished, row.recorded) == (1, 0, 1, 1, 2)
    said = catalogue_page.status_table(folder)
    assert "1 of them thrown out early" in said and "of them diverged" not in said


def test_a_diverged_run_is_a_result(folder):
    assert "diverged at step 3 of 80" in catalogue_page.suite_tables(folder)
    assert "1 of them diverged" in catalogue_page.status_table(folder)


def test_where_nothing_is_recorded_the_table_says_so_and_gives_the_command(tmp_path):
    status, named = catalogue_page.status_table(tmp_path), catalogue_page.preset_table(tmp_path)
    for name in SUITES:
        assert f"<code>cs336 experiment {name} --scale full</code>" in status
    assert "<code>cs336 train tinystories-17m</code>" in named
    assert status.count("none on record") == sum(len(suite.scales) for suite in SUITES.values())
    assert status.count("needs a GPU") == len(SUITES)


def test_a_named_run_is_recognized_by_what_it_ran(tmp_path):
    from cs336_lib.training import TrainConfig

    config = TrainConfig.preset("tinystories-17m").replace(name="mine", device="cuda")
    RunRecord.create(tmp_path / "anything", config, {"device": "Some GPU"}).set_status("finished", config.steps)
    rows = {row.name: row.recorded for row in catalogue.coverage(tmp_path) if not row.scale}
    assert rows["tinystories-17m"] == 1 and rows["owt-17m"] == 0


def test_a_run_outside_of_all_suites_is_listed(tmp_path):
    config = SUITES["nope"].plan("cpu")[0].config
    RunRecord.create(tmp_path / "experiments/gone-cpu/a<b", config, {"device": "CPU"})
    RunRecord.create(tmp_path / "alone", config, {"device": "CPU"})
    assert "a&lt;b" in catalogue_page.suite_tables(tmp_path)
    assert "<code>alone</code>" in catalogue_page.single_runs(tmp_path)


def test_a_measurement_of_several_entries_gives_one_row_each(tmp_path):
    (tmp_path / "benchmarks").mkdir()
    entry = {"medians": {"a": 1}, "device": "CPU", "environment": {"python": "3.11.7", "system": "Linux x86_64"}}
    (tmp_path / "benchmarks/b.json").write_text(json.dumps({"small": entry, "large": entry}))
    found = catalogue.measurements(tmp_path)
    assert [(m.entry, m.parts) for m in found] == [("small", ("medians",)), ("large", ("medians",))]
    table = catalogue_page.measurement_table(tmp_path)
    assert table.count("<tr><td>") == 2 and "not recorded" in table


@pytest.mark.parametrize("name", SUITES)
def test_each_suite_links_to_the_section_that_asks_its_question(root, name):
    assert name in catalogue_page.CHAPTERS, f"add {name!r} to CHAPTERS in cs336_lib/experiments/catalogue_page.py"
    section, page = catalogue_page.CHAPTERS[name]
    text = (root / f"notebooks/{page}.md").read_text(encoding="utf-8")
    assert f"\n## {section} " in text and f"<code>{SUITES[name].problem}</code>" in text
