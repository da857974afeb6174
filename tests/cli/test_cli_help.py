"""Help as a terminal shows it: it fits, it has examples that parse, it names what a command takes."""

import importlib
import os
import re
import shlex
import sys
from types import SimpleNamespace

import pytest
from cli_setup import cs336

from cs336_lib.cli import COMMANDS, account_command, parsing, train_command
from cs336_lib.lines import CELL, width

HELPS = [
    *((), ("train", "tales-1m")),
    *((command,) for command in COMMANDS),
    *(("data", action) for action in ("list", "get", "peek")),
]


def shown(capsys, *arguments):
    assert cs336(*arguments) == 0
    return capsys.readouterr().out


@pytest.mark.parametrize("words", HELPS, ids=" ".join)
@pytest.mark.parametrize("columns", [80, 60])
def test_help_fits_the_terminal(words, columns, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", str(columns))
    text = shown(capsys, *words, "--help")
    prose = [line for line in text.splitlines() if not line.startswith("  ") or columns == 80]
    assert [line for line in prose if len(line) > columns and len(line.split()) > 1] == []
    assert "\n\n\n" not in text.rstrip() and parsing.HERE not in text


LISTS = [
    *("experiment list", "data list", "account tales-1m", "account gpt2-xl --edition 2026"),
    *("account gpt2-xl-2026 --edition 2025", "account gpt2-xl --device 1e15"),
]


@pytest.mark.parametrize("command", LISTS)
def test_lists_fit_the_terminal(command, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    assert [line for line in shown(capsys, *command.split()).splitlines() if len(line) > 80] == []


@pytest.mark.parametrize("words", [words for words in HELPS if words != ("train", "tales-1m")], ids=" ".join)
def test_examples_of_help_parse(words, capsys, monkeypatch, tmp_path):
    """Each stands on a line of its own, and the command takes it."""
    text = shown(capsys, *words, "--help").replace("\\\n", " ")
    examples = re.findall(r"^  (?:.*\| )?(?:cs336|torchrun .* -m cs336_lib) (.*)$", text, re.MULTILINE)
    if words:
        assert examples and "Example" in text
    asked = []

    def parse(command, name, arguments):
        asked.append(real(command, name, arguments))
        raise SystemExit(0)

    def parse_training(arguments):
        given = ["tales-1m", *arguments[1:]] if arguments[0].endswith(".json") else arguments
        asked.append(real_training(given))
        raise SystemExit(0)

    real, real_training = parsing.parse, train_command.parse
    monkeypatch.setattr(train_command, "parse", parse_training)
    for name in COMMANDS:
        module = importlib.import_module(f"cs336_lib.cli.{name.replace('-', '_')}_command")
        if name != "train":
            monkeypatch.setattr(module, "parse", parse)
    monkeypatch.chdir(tmp_path)
    for example in examples:
        given = shlex.split(example, comments=True)
        if "--help" in given:
            continue
        asked.clear()
        assert cs336(*given) == 0, example
        assert len(asked) == 1, example


POSITIONALS = {
    "encode": "TOKENIZER TEXT OUT",
    "eval": "RUN",
    "export": "RUN OUT",
    "generate": "RUN",
    "resume": "RUN",
    "train-tokenizer": "TEXT",
    "account": "MODEL",
    "records": "{add} PATH",
    "runs": "[FOLDER ...]",
    "check": "[FOLDER]",
    "experiment": "[SUITE]",
    "data get": "NAME",
    "data peek": "NAME",
}


@pytest.mark.parametrize("command", POSITIONALS)
def test_positionals_have_names(command, capsys):
    usage = " ".join(shown(capsys, *command.split(), "--help").partition("\n\n")[0].split())
    assert re.search(rf"{re.escape(POSITIONALS[command])}( \[--|$)", usage), usage
    assert not re.search(r" (STR|PATH)(?! ?\[--| ?$|\])", usage.replace("{add} PATH", "")), usage


def test_no_command_has_a_positional_without_a_name():
    assert set(COMMANDS) - {"train", "data"} <= set(POSITIONALS)


@pytest.mark.parametrize("wrong", [("--lr", "abc"), ("--batch-size", "1.5"), ("--schedule", "wave")])
def test_the_box_of_a_wrong_value_names_the_help_that_has_it(wrong, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    assert cs336("train", "owt-17m", *wrong) == 2
    box = capsys.readouterr().err
    assert "cs336 train owt-17m --help" in box and "cs336 train --help" not in box
    assert len({len(line) for line in box.splitlines() if line}) == 1


def test_help_of_training_says_where_its_options_are(capsys):
    for words in (("--help",), ("train", "--help")):
        assert "cs336 train PRESET --help" in shown(capsys, *words)
    assert "--lr FLOAT" in shown(capsys, "train", "tales-1m", "--help")


def test_account_reads_a_number_as_a_peak():
    assert [account_command._number(word) for word in ("1e15", "h100-sxm")] == [1e15, "h100-sxm"]


@pytest.mark.parametrize("columns", ["1", "5", "20", "0", "many"])
def test_no_terminal_is_too_narrow_for_help(columns, capsys, monkeypatch):
    """In five columns the parser never ended."""
    monkeypatch.setenv("COLUMNS", columns)
    for words in (["account"], ["train"], ["train", "tales-1m"]):
        assert "--help" in shown(capsys, *words, "--help")
    assert os.environ["COLUMNS"] == columns


def test_a_notebooks_cells_are_as_wide_for_everybody(monkeypatch):
    monkeypatch.setenv("COLUMNS", "60")
    assert width() == 60
    notebook = SimpleNamespace(get_ipython=lambda: SimpleNamespace(kernel="of a notebook"))
    monkeypatch.setitem(sys.modules, "IPython", notebook)
    for columns in ("60", "200"):
        monkeypatch.setenv("COLUMNS", columns)
        assert width() == CELL
