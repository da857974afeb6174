"""Low layers never import high ones, rooms inside rooms neither, nothing runs in a circle, and bpe costs no torch."""

import ast
import subprocess
import sys

import pytest
from imports import ROOT, imported_modules, module_name

# Top-level modules that any room may use; they know no room.
BASE = {
    "scale",
    "environment",
    "peak_memory",
    "results",
    "atomic",
    "workshop",
    "doors",
    "naming",
    "plain",
    "locks",
    "textfile",
    "jsonfile",
    "lines",
    "typed",
    "amounts",
    "bars",
}

# What each room may use besides itself and BASE. A room that is not listed here fails the test.
ALLOWED: dict[str, set[str]] = {
    "editions": set(),
    "native": set(),
    "bpe": {"native"},
    "data": {"bpe", "native"},
    "model": {"native", "bpe.formats"},  # whether a tokenizer.json is its own
    "accounting": {"model.config", "editions"},
    "optim": set(),
    "training": {"data", "model", "optim", "bpe", "accounting", "native"},
    "generation": {"bpe", "model", "native"},
    "experiments": {"bpe", "data", "model", "accounting", "optim", "training", "generation", "editions"},
    "figures": {"bpe", "data", "model.config", "accounting", "training", "experiments", "editions"},
    # Its child folder runs in the reader's own Python and imports no other room; a test of its own holds that.
    "check": {"bpe", "model", "optim", "training.loss", "data.tales", "editions"},
    "cli": {
        *("bpe", "data", "model", "accounting", "optim", "training", "generation", "experiments", "figures", "check"),
        "editions",
    },
    "__main__": {"cli"},
}

# The same inside the two rooms that have rooms: what each may use of the others.
INSIDE: dict[str, dict[str, set[str]]] = {
    "bpe": {
        "utf8": set(),
        "rules": set(),
        "specials": set(),
        "arguments": {"specials"},
        "cutting": {"specials"},
        "vocabulary": {"specials"},
        "plain": {"cutting", "rules", "specials", "vocabulary"},
        "formats": {"cutting", "rules", "specials", "vocabulary"},
        "counting": {"cutting"},
        "merging": {"counting", "plain"},
        "encoding": {"counting", "cutting", "plain", "rules", "specials", "vocabulary"},
        "tokenizer": {"cutting", "encoding", "formats", "rules", "specials", "vocabulary"},
        "training": {"arguments", "counting", "cutting", "merging", "plain"},
        "warmup": {"counting", "encoding", "merging"},
    },
    "training": {
        "loss": set(),
        "presets": set(),
        "config": {"presets"},
        "ranks": set(),
        "precision": {"config"},
        "record_files": set(),
        "sample_files": {"record_files"},
        "records": {"config", "record_files", "sample_files"},
        "checkpoints": {"ranks"},
        "attending": {"config"},
        "heading": {"config", "precision"},
        "engines": {"attending", "checkpoints", "config", "precision", "ranks"},
        "corpus": {"config"},
        "evaluation": {"loss", "ranks"},
        "throughput": {"precision"},
        "mirrors": {"config"},
        "metrics": {"config", "mirrors", "records", "throughput"},
        "stopping": {"config", "records"},
        "resuming": {"checkpoints", "config", "corpus", "ranks", "records"},
        "loading": {"checkpoints", "config", "precision", "records", "resuming"},
        "setup": {"attending", "config", "corpus", "engines", "evaluation", "heading", "loss", "ranks", "records"},
        "compiling": {"config", "engines"},
        "trainer": {
            *(
                "checkpoints",
                "compiling",
                "config",
                "corpus",
                "engines",
                "evaluation",
                "heading",
                "metrics",
                "mirrors",
                "precision",
                "ranks",
            ),
            *("records", "resuming", "setup", "stopping", "throughput"),
        },
    },
}

FILES = sorted((ROOT / "cs336_lib").rglob("*.py"))
MODULES = {module_name(path): path for path in FILES}


def room(module: str) -> str:
    """Return "bpe" for "cs336_lib.bpe.utf8"."""
    return module.split(".")[1]


def imports_of(module: str) -> list[str]:
    path = MODULES[module]
    return list(imported_modules(ast.parse(path.read_text()), path))


def violations(module: str, imports: list[str]) -> list[str]:
    """Return the imports that `module` may not have."""
    here = room(module)
    allowed = {f"cs336_lib.{name}" for name in ALLOWED.get(here, set()) | BASE | {here}} | {"cs336_lib.__version__"}
    ours = [name for name in imports if name.startswith("cs336_lib.")]
    return [name for name in ours if not any(name == good or name.startswith(good + ".") for good in allowed)]


def violations_inside(module: str, imports: list[str]) -> list[str]:
    """Return the imports between the rooms of one room that `module` may not have."""
    outer, _, rest = module.removeprefix("cs336_lib.").partition(".")
    inner = rest.split(".")[0]
    if outer not in INSIDE or not inner:  # the door of a room opens on all that is in it
        return []
    rooms = INSIDE[outer]
    assert inner in rooms, f"{module} is in no room that the plan of {outer} knows"
    allowed = rooms[inner] | {inner}
    prefix = f"cs336_lib.{outer}."
    return [name for name in imports if name.startswith(prefix) and name[len(prefix) :].split(".")[0] not in allowed]


@pytest.mark.parametrize("module", [name for name in MODULES if name != "cs336_lib"])
def test_a_room_imports_only_what_lies_below_it(module):
    assert room(module) in ALLOWED.keys() | BASE, f"{module} is in no room that the plan knows"
    assert not violations(module, imports_of(module))
    assert not violations_inside(module, imports_of(module))


def test_the_package_itself_imports_nothing_of_its_own():
    assert not [name for name in imports_of("cs336_lib") if name.startswith("cs336_lib")]


def test_the_rule_catches_what_it_should():
    assert violations("cs336_lib.bpe.x", ["cs336_lib.data.y"]) == ["cs336_lib.data.y"]
    assert violations("cs336_lib.accounting.x", ["cs336_lib.model.attention"]) == ["cs336_lib.model.attention"]
    assert not violations("cs336_lib.accounting.x", ["cs336_lib.model.config.ModelConfig", "torch.nn"])
    relative = ast.parse("from ..training import loop")
    path = ROOT / "cs336_lib/model/x.py"
    assert violations("cs336_lib.model.x", list(imported_modules(relative, path))) == ["cs336_lib.training.loop"]
    climbs = ["cs336_lib.bpe.encoding.choice.Encoding"]
    assert violations_inside("cs336_lib.bpe.cutting.x", climbs) == climbs
    assert not violations_inside("cs336_lib.bpe.tokenizer", climbs)


@pytest.mark.parametrize("outer", INSIDE)
def test_the_plan_of_a_room_has_no_arrow_that_climbs_and_none_that_nobody_uses(outer):
    order = list(INSIDE[outer])
    for inner, below in INSIDE[outer].items():
        assert all(order.index(name) < order.index(inner) for name in below), inner
    used: dict[str, set[str]] = {inner: set() for inner in order}
    for module in MODULES:
        parts = module.split(".")
        if parts[1:2] == [outer] and len(parts) > 2:
            prefix = f"cs336_lib.{outer}."
            inside = {name[len(prefix) :].split(".")[0] for name in imports_of(module) if name.startswith(prefix)}
            used[parts[2]] |= inside - {parts[2]}
    assert used == INSIDE[outer]


def circles(arrows: dict[str, set[str]]) -> list[set[str]]:
    """Return the sets of modules that reach each other."""
    reach: dict[str, set[str]] = {}
    for start in arrows:
        seen: set[str] = set()
        waiting = [start]
        while waiting:
            new = arrows[waiting.pop()] - seen
            seen |= new
            waiting.extend(new)
        reach[start] = seen
    found = {frozenset({a} | {b for b in reach[a] if a in reach[b]}) for a in arrows if a in reach[a]}
    return [set(one) for one in found]


def test_no_module_imports_itself_by_way_of_others():
    arrows: dict[str, set[str]] = {}
    for module in MODULES:
        arrows[module] = set()
        for name in imports_of(module):
            while name and name not in MODULES:
                name = name.rpartition(".")[0]
            if name not in ("", module):
                arrows[module].add(name)
    assert not circles(arrows)
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"b"}, "d": {"a"}}) == [{"b", "c"}]


def in_a_fresh_interpreter(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True).stdout


def modules_after(statement: str) -> set[str]:
    """Return the top-level modules that a fresh interpreter holds after `statement`."""
    found = in_a_fresh_interpreter(f"{statement}; import sys; print(' '.join(sys.modules))")
    return {name.split(".")[0] for name in found.split()}


def test_importing_bpe_imports_no_torch():
    assert "torch" not in modules_after("import cs336_lib.bpe")


def test_importing_the_package_imports_none_of_its_dependencies():
    assert not {"torch", "numpy", "numba", "matplotlib"} & modules_after("import cs336_lib")


def test_only_one_room_knows_the_compiler():
    for module in MODULES:
        if module != "cs336_lib" and room(module) != "native":
            foreign = {name.split(".")[0] for name in imports_of(module)}
            assert not foreign & {"numba", "llvmlite"}, module


def test_every_public_door_opens_in_a_fresh_interpreter():
    doors = [name for name, path in MODULES.items() if path.name == "__init__.py" and name != "cs336_lib"]
    code = (
        "from importlib import import_module\n"
        f"for door in {doors!r}:\n"
        "    module = import_module(door)\n"
        "    for name in getattr(module, '__all__', ()):\n"
        "        getattr(module, name)\n"
        "        print(door, name)\n"
    )
    opened = in_a_fresh_interpreter(code).split("\n")
    for name in ("cs336_lib.bpe train_bpe", "cs336_lib.training Trainer", "cs336_lib.training save_checkpoint"):
        assert name in opened
