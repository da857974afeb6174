"""Progress in a file: lines, few of them however long it takes, and no line is written over."""

import ast
import io
import sys

import pytest
from imports import ROOT
from tqdm import tqdm

from cs336_lib import bars
from cs336_lib.bpe import train_bpe


@pytest.fixture
def work(monkeypatch, capsys):
    """A function that works for so many steps of so many seconds, and returns what a file gets."""
    now = [0.0]
    monkeypatch.setattr(bars.time, "monotonic", lambda: now[0])

    def done(steps, seconds, **about):
        with bars.bar(total=steps, desc="work", **about) as bar:
            for step in range(steps):
                now[0] += seconds
                bar.set_postfix(loss=step)
                bar.update()
                tqdm.write("said", file=io.StringIO())
        return capsys.readouterr().err

    return done


def test_short_work_is_one_line(work):
    text = work(70, 0.1)
    assert text.startswith("work: 100%") and "70/70" in text and "loss=69" in text
    assert text.count("\n") == 1 and "\r" not in text and "\033" not in text


def test_long_work_tells_now_and_then(work):
    minute = work(60, 1)
    assert "\r" not in minute and 5 <= minute.count("\n") <= 7 and "100%" in minute
    day = work(3000, 24 * 1.2)
    assert 30 < day.count("\n") < 120


def test_a_bar_that_goes_leaves_nothing(work):
    assert work(5, 1, leave=False) == "" and work(5, 1, disable=True) == ""
    assert work(5, 15, leave=False).count("\n") == 5


def test_it_goes_through_what_is_given(capsys):
    with bars.bar("abc", desc="letters") as bar:
        assert list(bar) == ["a", "b", "c"]
    shown = capsys.readouterr().err
    assert shown.count("\n") == 1 and "3/3" in shown


def test_a_terminal_gets_a_bar(work, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    assert "\r" in work(3, 1)


def test_every_bar_of_the_library_is_such_a_one():
    """But for the questions of `cs336 check`, which print a row each instead where nobody watches."""
    own = {"bars.py", "check/folder.py", "check/training.py"}
    for path in (ROOT / "cs336_lib").rglob("*.py"):
        calls = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)]
        made = [node for node in calls if isinstance(node.func, ast.Name) and node.func.id == "tqdm"]
        assert not made or path.relative_to(ROOT / "cs336_lib").as_posix() in own, path


class Tee:
    """What some put in place of stderr: no terminal, and nobody to ask."""

    def write(self, text):
        return len(text)

    def flush(self):
        pass


@pytest.mark.parametrize("there", [Tee(), None])
@pytest.mark.parametrize("disable", [True, False])
def test_what_stands_in_place_of_stderr_need_not_say_whether_it_is_a_terminal(monkeypatch, there, disable):
    if there is None and not disable:
        return  # a bar needs something to write to
    monkeypatch.setattr(sys, "stderr", there)
    with bars.bar(total=2, disable=disable) as shown:
        shown.update()


@pytest.mark.parametrize("stream", [None, "closed"])
@pytest.mark.parametrize("options", [{}, {"leave": False}, {"desc": "work"}, {"disable": False}], ids=str)
def test_without_a_place_to_write_there_is_no_bar(monkeypatch, stream, options):
    """A program that runs without a console has None there."""
    closed = io.StringIO()
    closed.close()
    monkeypatch.setattr(sys, "stderr", closed if stream else None)
    with bars.bar(total=2, **options) as shown:
        for _ in range(2):
            shown.update()
            shown.set_postfix(loss=1)
    assert list(bars.bar([1, 2, 3], **options)) == [1, 2, 3]


def test_a_tokenizer_is_trained_without_a_place_to_write(monkeypatch, tmp_path):
    (tmp_path / "text.txt").write_text("a bb a bb " * 300)
    monkeypatch.setattr(sys, "stderr", None)
    assert len(train_bpe(tmp_path / "text.txt", 258, [], progress=True).vocab) == 258
