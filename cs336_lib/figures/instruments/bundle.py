"""Modules to one script: what a page from file:// and an anywidget can load.

A browser loads no ES module from file://, and anywidget takes a single one. So the modules an instrument imports are
put one after the other, each in a function of its own, in the order of their imports: no other change, no minifier,
no node. The sources keep to two forms, which is all that is read here::

    import { a, b } from "./utf.mjs";   import * as utf from "./utf.mjs";
    export function a(...)   export class B   export const c =   export async function d
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from cs336_lib.figures.instruments.catalogue import INSTRUMENTS

WEB = Path(__file__).resolve().parent / "web"
_IMPORT = re.compile(r'^import (?:\* as (\w+)|\{ ?[\w, ]+? ?\}) from "\./(\w+)\.mjs";\n', re.MULTILINE)
_EXPORT = re.compile(r"^export ((?:async )?function|class|const) (\w+)", re.MULTILINE)
_COMMENT = re.compile(r"^ *//.*\n", re.MULTILINE)


def modules(name: str) -> list[str]:
    """Return the modules that one needs, each behind those that it imports; itself last.

    Args:
        name: of a module, without ".mjs".

    Raises:
        FileNotFoundError: a module is not there.

    >>> modules("tokens")
    ['utf', 'tokens']
    """
    found: list[str] = []

    def visit(module: str) -> None:
        if module not in found:
            for match in _IMPORT.finditer(_source(module)):
                visit(match[2])
            found.append(module)

    visit(name)
    return found


def _source(name: str) -> str:
    return (WEB / f"{name}.mjs").read_text(encoding="utf-8")


def _names(match: re.Match[str]) -> str:
    return match[0][len("import ") : match[0].index(" from ")]


def _wrapped(name: str) -> str:
    source = _source(name)
    names = [match[2] for match in _EXPORT.finditer(source)]
    body = _IMPORT.sub(lambda match: f"const {match[1] or _names(match)} = modules.{match[2]};\n", source)
    body = _COMMENT.sub("", _EXPORT.sub(r"\1 \2", body))
    if left := re.search(r"^(?:import|export)\b.*", body, re.MULTILINE):
        raise ValueError(f"{name}.mjs: the bundle does not read {left[0]!r}; see bundle.py for the forms that it does")
    return f"modules.{name} = (() => {{\n{body}return {{ {', '.join(names)} }};\n}})();\n"


def _bundle(name: str) -> str:
    return '"use strict";\nconst modules = {};\n' + "".join(map(_wrapped, modules(name)))


@cache
def page_script(name: str) -> str:
    """The instrument as a classic script, which announces itself to `boot.js`.

    Args:
        name: of an instrument.
    """
    announced = f"cs336Instruments.define({json.dumps(name)}, modules.draw_{name}.mount);"
    return f"(() => {{\n{_bundle(f'draw_{name}')}{announced}\n}})();\n"


@cache
def widget_module(name: str) -> str:
    """The instrument as one ES module for anywidget.

    Args:
        name: of an instrument.
    """
    return f"{_bundle(f'draw_{name}')}{_source('widget')}".replace("DRAW", f"modules.draw_{name}")


def styles() -> str:
    """The style sheet of all instruments."""
    return (WEB / "instruments.css").read_text(encoding="utf-8")


def data_script(name: str, payload: Mapping[str, Any]) -> str:
    """Data as a classic script: file:// allows no fetch either.

    >>> print(data_script("tales", {"a": [1]}))
    cs336Instruments.data("tales", {"a":[1]});
    """
    text = json.dumps(payload, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    return f"cs336Instruments.data({json.dumps(name)}, {text});"


def write(folder: Path) -> dict[str, int]:
    """Write everything that the book's pages load, into the book's own static files.

    Args:
        folder: made when missing.

    Returns:
        File -> bytes.
    """
    from cs336_lib.figures.instruments.data import PAYLOADS

    texts = {"boot.js": (WEB / "boot.js").read_text(encoding="utf-8"), "instruments.css": styles()}
    texts |= {f"{name}.js": page_script(name) for name in INSTRUMENTS}
    texts |= {f"data-{name}.js": data_script(name, make()) for name, make in PAYLOADS.items()}
    # A reader's browser keeps scripts: those of another version have another address.
    version = hashlib.sha256("\0".join(texts.values()).encode()).hexdigest()[:8]
    texts["boot.js"] = texts["boot.js"].replace("VERSION", version)
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in texts.items():
        path = folder / name
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")
    return {name: len(text.encode()) for name, text in texts.items()}
