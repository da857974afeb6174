"""Find what is to be checked: the adapters of a project as people have it, and a Python that runs them."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

# Named here once more, because `child.case` imports torch, and a wrong folder should be an answer within a moment.
KNOWN = frozenset(
    [
        "run_train_bpe",
        "get_tokenizer",
        "run_linear",
        "run_embedding",
        "run_rmsnorm",
        "run_swiglu",
        "run_silu",
        "run_rope",
        "run_softmax",
        "run_scaled_dot_product_attention",
        "run_multihead_self_attention",
        "run_multihead_self_attention_with_rope",
        "run_transformer_block",
        "run_transformer_lm",
        "run_cross_entropy",
        "get_adamw_cls",
        "run_get_lr_cosine_schedule",
        "run_gradient_clipping",
        "run_get_batch",
        "run_save_checkpoint",
        "run_load_checkpoint",
    ]
)
NEEDED = ("torch", "numpy", "regex")
SKIPPED = {".git", ".venv", "venv", "env", "node_modules", "site-packages", "__pycache__"}


@dataclass
class Project:
    """A solution to be checked.

    Attributes:
        root: its folder.
        adapters: its file of adapters.
        python: the interpreter that runs it.
        notes: what was decided on the way, for the reader.
    """

    root: Path
    adapters: Path
    python: str
    notes: list[str] = field(default_factory=list)


def find(folder: str | os.PathLike[str], adapters: str | os.PathLike[str] | None = None, python: str = "") -> Project:
    """Find the adapters and the Python of a project.

    Args:
        folder: the project's folder.
        adapters: the file of adapters, if it is not tests/adapters.py.
        python: the interpreter; the project's own environment if it has torch, else this one, when empty.

    Raises:
        FileNotFoundError: there is no such folder, no adapters in it, or no such Python.
        ValueError: the adapters are of another assignment, or the Python has no torch.

    >>> find("no-such-folder")
    Traceback (most recent call last):
    FileNotFoundError: there is no folder 'no-such-folder'; name the folder of your solution, the one that holds tests/
    """
    root = Path(folder).expanduser()
    if root.is_file() and root.suffix == ".py" and adapters is None:
        adapters, root = root, root.parent
        root = root.parent if root.name == "tests" else root
    if not root.is_dir():
        raise FileNotFoundError(
            f"there is no folder {str(folder)!r}; name the folder of your solution, the one that holds tests/"
        )
    notes: list[str] = []
    root = Path(os.path.abspath(root))  # noqa: PTH100 - resolve() would follow links
    path = Path(os.path.abspath(adapters)) if adapters is not None else _adapters_in(root, notes)  # noqa: PTH100
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {str(adapters)!r}; --adapters names your tests/adapters.py")
    if path.parent.name == "tests" and path.parent.parent != root and root in path.parents:
        root = path.parent.parent
    tree = _parsed(path)
    if tree is not None:
        _of_this_assignment(path, tree)
    found = _python(root, python, notes)
    if tree is None:
        _readable(path, found)
    return Project(root, path, found, notes)


def _adapters_in(root: Path, notes: list[str]) -> Path:
    for place in (root / "tests/adapters.py", root / "adapters.py"):
        if place.is_file():
            return place
    found = []
    for pattern in ("*/adapters.py", "*/*/adapters.py", "*/*/*/adapters.py"):
        places = [path for path in root.glob(pattern) if path.is_file()]
        found += [path for path in places if not SKIPPED & set(path.relative_to(root).parts)]
    if len(found) == 1:
        notes.append(f"adapters found in {found[0].relative_to(root)}")
        return found[0]
    if found:
        names = ", ".join(str(path.relative_to(root)) for path in sorted(found)[:4])
        raise FileNotFoundError(
            f"{root} holds several adapters.py ({names}); name one with --adapters, or the folder of one assignment"
        )
    raise FileNotFoundError(
        f"{root} holds no tests/adapters.py; name the folder of your solution, or the file with --adapters"
    )


def _parsed(path: Path) -> ast.Module | None:
    """The file's syntax tree; None where it is in a language that this Python does not read."""
    try:
        return ast.parse(path.read_bytes(), str(path))
    except (SyntaxError, ValueError):
        return None


def _readable(path: Path, python: str) -> None:
    """Complain about a file that the reader's Python cannot read; a newer one than ours reads more."""
    code = "import ast, sys; ast.parse(open(sys.argv[1], 'rb').read())"
    script = (
        f"import sys\ntry:\n    {code}\nexcept (SyntaxError, ValueError) as error:\n"
        "    line = f', line {error.lineno}' if getattr(error, 'lineno', None) else ''\n"
        "    print(f'{line}: {getattr(error, \"msg\", error)}; Python {sys.version.split()[0]}')"
    )
    done = subprocess.run([python, "-c", script, str(path)], capture_output=True, text=True, timeout=60, check=False)
    if done.stdout.strip():
        raise ValueError(f"{path}{done.stdout.strip()} cannot read this file, so nothing was asked")


def _of_this_assignment(path: Path, tree: ast.Module) -> None:
    names = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.ClassDef)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names |= {alias.asname or alias.name for alias in node.names}
        elif isinstance(node, ast.Assign):
            names |= {target.id for target in node.targets if isinstance(target, ast.Name)}
    if not names & KNOWN and "*" not in names:
        has = ", ".join(sorted(name for name in names if name.startswith(("run_", "get_")))[:3]) or "none"
        raise ValueError(
            f"{path} has none of the 21 adapters of assignment 1 (it has {has}); "
            "this command checks assignment 1 (basics) only"
        )


def _python(root: Path, asked: str, notes: list[str]) -> str:
    if asked:
        path = Path(asked).expanduser()
        if path.is_dir():
            path = path / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
        if not path.exists():
            raise FileNotFoundError(f"there is no Python {asked!r}; --python takes its path, as in .venv/bin/python")
        path = Path(os.path.abspath(path))  # noqa: PTH100 - a virtual environment is known by the link's own place
        missing = _missing(str(path))
        if missing:
            raise ValueError(
                f"{asked} has no {', '.join(missing)}; install it there ({path} -m pip install {' '.join(missing)}), "
                "or name another Python with --python"
            )
        return str(path)
    places = [root / ".venv", root / "venv", root / "env", root.parent / ".venv"]
    for place in places:
        path = place / "bin/python"
        if not os.path.lexists(path):
            continue
        try:
            missing = _missing(str(path))
        except ValueError as error:
            notes.append(f"{place.name} is not used: {str(error).split(';')[0]}")
            continue
        if not missing:
            return str(path)
        notes.append(f"{place.name} has no {', '.join(missing)}: not used")
    missing = _missing(sys.executable)
    if missing:
        raise ValueError(f"this Python has no {', '.join(missing)}; name one that has with --python .venv/bin/python")
    return sys.executable


def _missing(python: str) -> list[str]:
    """Names of needed packages that a Python lacks."""
    code = f"import importlib.util as u; print(*[n for n in {NEEDED!r} if u.find_spec(n) is None])"
    try:
        done = subprocess.run([python, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ValueError(f"{python} does not run: {error}; name another with --python") from None
    if done.returncode:
        reason = " ".join(done.stderr.split())[-200:] or f"it ends with exit code {done.returncode}"
        raise ValueError(f"{python} does not run: {reason}; name another with --python")
    return done.stdout.split()
