"""The API page has every command and every module that a reader is told to use."""

import ast
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


def documented():
    """Yield (file, name, docstring) of every module on the page, and of its public classes and functions."""
    for name in re.findall(r"auto(?:module|function|class):: (\S+)", PAGE):
        parts = name.split(".")[1:]
        homes = [HOME.joinpath(*parts[:length]) for length in range(len(parts), 0, -1)]
        files = [file for home in homes for file in (home.with_suffix(".py"), home / "__init__.py")]
        path = next(file for file in files if file.is_file())
        tree = ast.parse(path.read_text(encoding="utf-8"))
        inner = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.ClassDef)]
        for node in (tree, *(node for node in inner if not node.name.startswith("_"))):
            yield path.relative_to(HOME).as_posix(), getattr(node, "name", ""), ast.get_docstring(node) or ""


def test_what_is_set_out_in_a_docstring_is_marked_so_and_not_run_together_as_prose():
    loose = []
    for path, name, text in documented():
        prose = re.split(r"^(?:Args|Attributes|Returns|Raises|Yields):$", text, flags=re.MULTILINE)[0]
        for before, block in re.findall(r"^(\S.*)\n\n((?: {4}.+\n?)+)", prose, flags=re.MULTILINE):
            if not before.endswith("::"):
                loose.append(f"{path} {name}: put :: before {block.strip().splitlines()[0]!r}")
    assert not loose, "\n".join(loose)


def test_an_address_in_a_docstring_is_an_example_and_not_a_link():
    """Sphinx makes a link of any file:// or name@host in prose, and it leads nowhere; backticks keep it as it is."""
    linked = []
    for path, name, text in documented():
        prose = re.sub(r"`[^`]*`|^ *(?:>>>|\.\.\.) .*$", "", text, flags=re.MULTILINE)
        found = re.findall(r"\b(?!https?:)[a-z][a-z0-9+.-]*:/\S+|\S+@\w+\.\w+", prose)
        linked += [f"{path} {name}: put backticks around {each}" for each in found]
    assert not linked, "\n".join(linked)
