"""An example in a docstring runs where a reader pastes it: behind the imports that it shows, or the API page names."""

import ast
import builtins
import doctest
import importlib
import inspect
import re
from pathlib import Path

import pytest

import cs336_lib

HOME = Path(cs336_lib.__file__).parent
PAGE = (HOME.parent / "book/api.md").read_text(encoding="utf-8")
BEFORE = re.search(r"behind these lines.*?```python\n(.*?)```", PAGE, re.DOTALL)[1]
DOORS = sorted(path.parent.name for path in HOME.glob("*/__init__.py"))
MODULES = sorted(
    ".".join(("cs336_lib", *path.relative_to(HOME).with_suffix("").parts)).removesuffix(".__init__")
    for path in HOME.rglob("*.py")
    if path.name != "__main__.py" and "child" not in path.parts  # what a reader's own Python runs
)


def names_of(code):
    """Return the names that code binds, and those that it reads."""
    nodes = list(ast.walk(ast.parse(code)))
    bound = {
        (a.asname or a.name).split(".")[0] for n in nodes if isinstance(n, ast.Import | ast.ImportFrom) for a in n.names
    }
    bound |= {n.id for n in nodes if isinstance(n, ast.Name) and not isinstance(n.ctx, ast.Load)}
    bound |= {n.name for n in nodes if isinstance(n, ast.FunctionDef | ast.ClassDef)}
    bound |= {n.arg for n in nodes if isinstance(n, ast.arg)}
    return bound, {n.id for n in nodes if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load)}


def examples(thing, name, module=None):
    """Yield the name and the code of each example of a module, class or function."""
    for found in doctest.DocTestFinder().find(thing, name, module=module):
        if found.examples and not re.search(r"\._[a-z]", found.name):
            yield found.name, "".join(example.source for example in found.examples)


def test_the_lines_that_the_page_names_can_be_run():
    exec(BEFORE, {})


@pytest.mark.parametrize("door", DOORS)
def test_the_example_of_a_package_imports_all_that_it_uses(door):
    package = importlib.import_module(f"cs336_lib.{door}")
    code = "".join(example.source for example in doctest.DocTestParser().get_examples(package.__doc__ or ""))
    bound, read = names_of(code)
    assert read - bound - set(dir(builtins)) == set()


@pytest.mark.parametrize("name", MODULES)
def test_an_example_reads_what_its_module_has_and_what_the_page_names(name):
    module = importlib.import_module(name)
    package = importlib.import_module(".".join(name.split(".")[:2]))
    own = {key for key, value in vars(module).items() if getattr(value, "__module__", name) == name}
    own -= {key for key, value in vars(module).items() if inspect.ismodule(value)}
    known = own | set(getattr(package, "__all__", ())) | names_of(BEFORE)[0] | set(dir(builtins))
    unknown = {}
    for where, code in examples(module, name):
        bound, read = names_of(code)
        if lacking := read - bound - known:
            unknown[where] = lacking
    assert not unknown, "import these in the example"
