"""The API page has every command and every module that a reader is told to use."""

import re
from pathlib import Path

import cs336_lib
from cs336_lib.cli import COMMANDS

PAGE = (Path(__file__).resolve().parents[2] / "book/api.md").read_text(encoding="utf-8")
HOME = Path(cs336_lib.__file__).parent


def test_each_command_stands_there_with_what_it_does():
    rows = dict(re.findall(r"^\| `cs336 ([a-z-]+)` \| (.+) \|$", PAGE, flags=re.MULTILINE))
    assert rows == COMMANDS


def test_each_module_of_figures_and_experiments_is_there():
    rooms = {
        "figures": {"style", "instruments"},
        "experiments": {"bases", "tunings", "catalogue", "catalogue_page", "editions_page"},  # for the book's own pages
    }
    for room, own in rooms.items():
        modules = {path.stem for path in (HOME / room).glob("[a-z]*.py")} - own
        lacking = {name for name in modules if f"cs336_lib.{room}.{name}" not in PAGE}
        assert not lacking, f"book/api.md lacks {lacking} of cs336_lib.{room}"
