"""Progress in a file: lines, few of them however long it takes, and no line is written over."""

import ast
import io
import sys

import pytest
from imports import ROOT, dotted_names
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


def foreign_bars(source):
    """What a module uses of other libraries' bars, but for lines that are written past them."""
    names = [name for _, name in dotted_names(ast.parse(source), ROOT / "cs336_lib/x.py")]
    libraries = ("tqdm", "rich", "progressbar", "alive_progress")
    return [name for name in names if name.split(".")[0] in libraries and not name.endswith(".tqdm.write")]


def test_every_bar_of_the_library_is_such_a_one():
    """But for the questions of `cs336 check`, which print a row each instead where nobody watches."""
    own = {"bars.py", "check/folder.py", "check/training.py"}
    library = ROOT / "cs336_lib"
    found = {path.relative_to(library).as_posix() for path in library.rglob("*.py") if foreign_bars(path.read_text())}
    assert found == own


@pytest.mark.parametrize(
    ("source", "seen"),
    [
        ("from tqdm import tqdm\ntqdm(range(3))", True),
        ("from tqdm.auto import tqdm as bar\nbar(range(3))", True),
        ("from tqdm import trange\ntrange(3)", True),
        ("import tqdm\ntqdm.tqdm(range(3))", True),
        ("import tqdm.auto as t\nt.tqdm(range(3))", True),
        ("def f():\n    from tqdm import tqdm\n    return tqdm", True),
        ("from rich.progress import track\ntrack([1])", True),
        ("from tqdm.auto import tqdm\ntqdm.write('a line')", False),
        ("from cs336_lib.bars import bar\nbar([1])", False),
    ],
)
def test_a_bar_is_seen_whatever_its_name(source, seen):
    assert bool(foreign_bars(source)) == seen


class Tee:
    """What some put in place of stderr: no terminal, and nobody to ask."""

    def write(self, text):
        return len(text)

    def flush(self):
        pass


@pytest.mark.parametrize("there", [Tee(), None])
@pytest.mark.parametrize("disable", [True, False])
def test_what_stands_in_place_of_stderr_need_not_say_whether_it_is_a_terminal(monkeypatch, there, disable):
    monkeypatch.setattr(sys, "stderr", there)
    with bars.bar(total=2, disable=disable) as shown:
        shown.update()
        shown.set_postfix(loss=1)
    with bars.bar("abc", disable=disable) as shown:
        assert list(shown) == ["a", "b", "c"]


def test_with_nobody_to_tell_a_file_is_written_to(monkeypatch):
    file = io.StringIO()
    monkeypatch.setattr(sys, "stderr", None)
    with bars.bar(total=2, desc="work", file=file) as shown:
        shown.update()
    assert file.getvalue().startswith("work:  50%")


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
