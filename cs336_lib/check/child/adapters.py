"""Load the reader's adapters, whatever is wrong with some of them.

The file is run statement by statement. One that fails - an import of a module that is missing, or that has a syntax
error - is noted with its line, and the rest goes on: the adapters that don't need it still answer.
"""

from __future__ import annotations
import __future__ as future

import ast
import importlib
import importlib.util
import sys
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from copy import copy
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

from .case import ADAPTERS, NOTEBOOK_PROBLEMS, TimeUpError, blame
from .runner import processor_time
from .show import printable

IMPORT_SECONDS = 60.0  # of processor time, a statement


@dataclass
class Loaded:
    """What came of loading.

    Attributes:
        adapters: name -> function.
        broken: line of the file -> what went wrong there.
        names: name that a broken line was to define -> where that is, and what went wrong there.
    """

    adapters: dict[str, Any] = field(default_factory=dict)
    broken: dict[int, str] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)

    def fail(self, path: Path, line: int, why: str, names: Sequence[str]) -> None:
        """Note that a statement failed, and which names it was to define."""
        why = printable(why)
        self.broken[line] = f"{self.broken[line]}; {why}" if line in self.broken else why
        self.names |= dict.fromkeys(names, f"{path.name}, line {line}, {failing(why)}: {why}")


def failing(why: str) -> str:
    """What a statement that failed does not do, by its text.

    >>> failing("from lm import model: SyntaxError"), failing("PAT = open('pat.txt').read(): FileNotFoundError")
    ('does not import', 'does not run')
    """
    return "does not import" if why.startswith(("import ", "from ", "SyntaxError")) else "does not run"


def load(path: Path, root: Path, skip: Mapping[int, str], tell: Callable[[int, str], None]) -> Loaded:
    """Run the file of adapters.

    Args:
        path: the file.
        root: the folder of the project; it, its `src` and the file's own folder are put on the path of imports.
        skip: lines to leave out, because running them hung or killed an earlier process, and what they did.
        tell: is told each line and its text before it is run.
    """
    beside = (path.parents[1] / "src", path.parents[1]) if path.parent.name == "tests" else ()
    for folder in (path.parent, *beside, root / "src", root):
        if folder.is_dir():
            sys.path.insert(0, str(folder))
    loaded = Loaded()
    source = path.read_bytes()
    try:
        tree = ast.parse(source, str(path))
    except (SyntaxError, ValueError) as error:
        line = getattr(error, "lineno", None) or 1
        loaded.broken[line] = f"SyntaxError: {getattr(error, 'msg', error)}"
        return loaded
    module = _module(path, root)
    flags = 0
    waiting = deque(tree.body)
    while waiting:
        statement = waiting.popleft()
        if isinstance(statement, ast.ImportFrom) and statement.module == "__future__":
            for alias in statement.names:
                flags |= getattr(future, alias.name).compiler_flag
            continue
        line = statement.lineno
        text = ast.unparse(statement).splitlines()[0][:120]
        if line in skip:
            loaded.fail(path, line, f"{text}: {skip[line]}", _defines(statement))
            continue
        tell(line, text)
        try:
            code = compile(ast.Module([statement], []), str(path), "exec", flags=flags, dont_inherit=True)
            with processor_time(IMPORT_SECONDS):
                exec(code, module.__dict__)
        except TimeUpError as error:
            place = blame(error, str(root)).removeprefix("TimeUpError")
            why = f"no end within {IMPORT_SECONDS:g} s of processor time{place}"
            loaded.fail(path, line, f"{text}: {why}", _defines(statement))
        except (Exception, SystemExit) as error:
            parts = _parts(statement, module)
            waiting.extendleft(reversed(parts))
            if not parts:
                loaded.fail(path, line, f"{text}: {blame(error, str(root))}", _defines(statement))
    known = (*ADAPTERS, *(name for names in NOTEBOOK_PROBLEMS.values() for name in names))
    loaded.adapters = {name: module.__dict__[name] for name in known if callable(module.__dict__.get(name))}
    return loaded


def _module(path: Path, root: Path) -> ModuleType:
    """An empty module under the name by which the official tests import it, so that its functions can be pickled."""
    name = path.stem
    try:
        parts = path.parent.relative_to(root).parts
    except ValueError:
        parts = ()
    if parts and all(part.isidentifier() for part in parts):
        package = ".".join(parts)
        try:
            found = importlib.import_module(package)
        except (Exception, SystemExit):
            found = None
        # A namespace package has no file of its own; another project's package of this name must not win.
        places = [Path(place).resolve() for place in getattr(found, "__path__", [])]
        if found is not None and path.parent.resolve() in places:
            name = f"{package}.{path.stem}"
    module = ModuleType(name)
    module.__file__ = str(path)
    module.__package__ = name.rpartition(".")[0]
    sys.modules[name] = module
    return module


def _parts(statement: ast.stmt, module: ModuleType) -> list[ast.stmt]:
    """Cut an import that failed apart, if other names of it may be importable: `from lm import model, bpe`."""
    if not isinstance(statement, ast.Import | ast.ImportFrom) or len(statement.names) < 2:
        return []
    if isinstance(statement, ast.ImportFrom):
        name = "." * statement.level + (statement.module or "")
        with suppress(ImportError, ValueError):
            name = importlib.util.resolve_name(name, module.__package__ or "")
        if name not in sys.modules:  # then it is that module that fails, and it would fail for each name
            return []
    parts: list[ast.stmt] = []
    for alias in statement.names:
        one = copy(statement)
        one.names, one.lineno = [alias], alias.lineno
        parts.append(one)
    return parts


def _defines(statement: ast.stmt) -> list[str]:
    if isinstance(statement, ast.Import | ast.ImportFrom):
        return [alias.asname or alias.name.split(".")[0] for alias in statement.names]
    if isinstance(statement, ast.FunctionDef | ast.ClassDef):
        return [statement.name]
    return [node.id for node in ast.walk(statement) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)]
