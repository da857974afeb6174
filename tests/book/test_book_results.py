"""The results page is made of cells that run, and types no record."""

import re
from functools import cache
from pathlib import Path

import jupytext
import pytest
import yaml

from cs336_lib.experiments import SUITES, catalogue, catalogue_page

PAGE = (Path(__file__).resolve().parents[2] / "book/results.md").read_text(encoding="utf-8")


@pytest.fixture(autouse=True, scope="module")
def read_once():
    """Read the folder of results once, not for each table."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("training_runs", "tokenizers", "measurements"):
            once = cache(getattr(catalogue, name))
            for module in (catalogue, catalogue_page):
                patch.setattr(module, name, once)
        yield


def cells():
    """Return the code cells of the page."""
    return [cell.source for cell in jupytext.reads(PAGE, "md:myst").cells if cell.cell_type == "code"]


def test_the_page_is_executed_and_offers_no_copy_to_open_elsewhere():
    front = yaml.safe_load(PAGE.split("---")[1])
    assert front == {"file_format": "mystnb"}, "with a kernelspec the page would get a Colab button for a file of text"


def test_each_cell_runs_and_every_record_is_shown(capsys):
    shown, names = [], {}
    for cell in cells():
        *before, last = cell.strip().splitlines()
        exec("\n".join(before), names)
        value = eval(last, names)
        shown.append(value.data if value is not None else capsys.readouterr().out)
    page = "\n".join(shown)
    for record in (*catalogue.training_runs(), *catalogue.tokenizers(), *catalogue.measurements()):
        name = record.path.rpartition("/")[2] if isinstance(record, catalogue.TrainingRun) else record.path
        assert f"<code>{name}</code>" in page, record.path
    assert all(f"<code>{name}</code>" in page for name in SUITES)
    assert "torch" in shown[0] and "device" in shown[0]


def test_no_run_or_figure_is_typed_into_the_page():
    prose = re.sub(r"^```.*?^```$", "", PAGE, flags=re.MULTILINE | re.DOTALL)
    assert not re.search(r"\d\.\d|seed\d|\d{4}", prose)


def test_all_tables_lie_in_a_box_that_scrolls():
    makers = ("status_table", "preset_table", "suite_tables", "single_runs", "tokenizer_table", "measurement_table")
    for name in makers:
        html = getattr(catalogue_page, name)()
        assert html.count("<table") == html.count('<div class="records"><table') == html.count("</table></div>") > 0
        assert f"catalogue_page.{name}()" in PAGE
