"""A tokenizer's folder: three small files, written all or none.

vocab.json              GPT-2's format
merges.txt              GPT-2's format
tokenizer_config.json   what those two can't say: special tokens, pattern, and the fingerprint that holds the three
together
"""

import contextlib
import json
import os
import secrets
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from cs336_lib.atomic import check_own, check_replaceable, check_still, targets
from cs336_lib.bpe.rules import TextRules
from cs336_lib.jsonfile import read_json, read_text
from cs336_lib.locks import make_folder

VOCAB, MERGES, CONFIG = "vocab.json", "merges.txt", "tokenizer_config.json"
FORMAT = "cs336_lib.bpe 1"
_FORMATS = "cs336_lib.bpe "


def check_own_folder(folder: str | os.PathLike[str]) -> None:
    """Raise FileExistsError if a folder holds files of a tokenizer that `Tokenizer.save` did not write."""
    for name in (CONFIG, VOCAB, MERGES):
        check_own_file(Path(folder) / name)


def check_own_file(path: Path) -> None:
    """Raise FileExistsError if a file of a tokenizer's folder is there that `Tokenizer.save` did not write."""
    check_own(path, _is_saved, "of no tokenizer that Tokenizer.save wrote", "folder")


def _is_saved(path: Path) -> bool:
    """The folder's config says so. It takes its name before the others, so that a kill leaves none without it."""
    try:
        content = json.loads(read_text(path.with_name(CONFIG)))
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(content, dict) and str(content.get("format")).startswith(_FORMATS)


def write_together(
    folder: str | os.PathLike[str],
    contents: Mapping[str, str],
    check: Callable[[Path], object] = check_replaceable,
) -> None:
    """Write several files of a folder so that a failure leaves those that are there untouched.

    Each is first written in full under a temporary name; only when all are, they take their names one after the other.

    Args:
        folder: is made when missing.
        contents: file name -> text.
        check: raises an error if a file that is there would be lost; is asked of each name before anything is written,
            and again before the first takes its name.

    Raises:
        FileExistsError: `check` says so, something else than a file has one of the names, or two are links to one file.
        OSError: the folder can't be made or written to.
    """
    folder = Path(folder)
    if folder.exists() and not folder.is_dir():
        raise FileExistsError(f"{folder} is a file; name a folder to write to")
    target = targets(folder, contents)
    for name in contents:
        check(folder / name)
    missing = [parent for parent in (folder, *folder.parents) if not parent.exists()]
    waiting: dict[Path, Path] = {}
    try:
        make_folder(folder, parents=True)
        for name, text in contents.items():
            path = target[name]
            temporary_path = path.with_name(f".{name}.{secrets.token_hex(6)}.tmp")
            # Plain open, not tempfile: that makes files which only their owner may read.
            with temporary_path.open("x", encoding="utf-8", newline="") as file:
                waiting[temporary_path] = path
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
        for name, path in target.items():
            check(folder / name)
            check_still(path)
        for temporary_path, path in waiting.items():
            temporary_path.replace(path)
    except BaseException:
        for temporary_path in waiting:
            temporary_path.unlink(missing_ok=True)
        for parent in missing:
            with contextlib.suppress(OSError):
                parent.rmdir()
        raise


def json_text(content: Mapping[str, Any]) -> str:
    """Readable JSON."""
    return json.dumps(content, indent=2) + "\n"


def _no_tokenizer(folder: Path) -> str:
    """What to say of a path that is no folder of a tokenizer."""
    made = "a tokenizer is a folder that cs336 train-tokenizer made, or in Python Tokenizer.save"
    if not folder.is_dir():
        return f"{folder} is a file; {made}" if folder.exists() else f"there is no folder {str(folder)!r}; {made}"
    alone = all((folder / name).is_file() for name in (VOCAB, MERGES))
    more = "; in Python Tokenizer.from_files takes its vocab.json and merges.txt" if alone else ""
    return f"{folder} is no tokenizer, for it has no {CONFIG}; {made}{more}"


def read_config(folder: str | os.PathLike[str]) -> dict[str, Any]:
    """Read a folder's `tokenizer_config.json`.

    Raises:
        FileNotFoundError: it is not there.
        ValueError: it is not one that `Tokenizer.save` wrote.
    """
    path = Path(folder) / CONFIG
    if not path.is_file():
        raise FileNotFoundError(_no_tokenizer(Path(folder)))
    config = read_json(path)
    if config.get("format") != FORMAT:
        raise ValueError(
            f"{path} must have the format {FORMAT!r}, found {config.get('format')!r}; it was not written by "
            "Tokenizer.save"
        )
    specials = config.get("special_tokens")
    if not isinstance(specials, list) or not all(isinstance(token, str) for token in specials):
        raise ValueError(f"{path}: special_tokens must be a list of strings, got {specials!r}")
    for key in ("pattern", "fingerprint"):
        if not isinstance(config.get(key), str):
            raise ValueError(f"{path}: {key} must be a string, got {config.get(key)!r}")
    try:
        config["rules"] = TextRules.from_dict(config.get("rules", {}))
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    return config
