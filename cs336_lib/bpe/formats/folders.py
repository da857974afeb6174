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
from collections.abc import Mapping
from pathlib import Path
from typing import Any

VOCAB, MERGES, CONFIG = "vocab.json", "merges.txt", "tokenizer_config.json"
FORMAT = "cs336_lib.bpe 1"


def write_together(folder: str | os.PathLike[str], contents: Mapping[str, str]) -> None:
    """Write several files of a folder so that a failure leaves those that are there untouched.

    Each is first written in full under a temporary name; only when all are, they take their names one after the other.

    Args:
        folder: is made when missing.
        contents: file name -> text.

    Raises:
        OSError: the folder can't be made or written to.
    """
    folder = Path(folder)
    missing = [parent for parent in (folder, *folder.parents) if not parent.exists()]
    waiting: dict[Path, Path] = {}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in contents.items():
            temporary_path = folder / f".{name}.{secrets.token_hex(6)}.tmp"
            # Plain open, not tempfile: that makes files which only their owner may read.
            with temporary_path.open("x", encoding="utf-8", newline="") as file:
                waiting[temporary_path] = folder / name
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
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


def read_config(folder: str | os.PathLike[str]) -> dict[str, Any]:
    """Read a folder's `tokenizer_config.json`.

    Raises:
        FileNotFoundError: it is not there.
        ValueError: it is not one that `Tokenizer.save` wrote.
    """
    path = Path(folder) / CONFIG
    if not path.is_file():
        raise FileNotFoundError(
            f"{path} does not exist: {folder} was not made by Tokenizer.save; for vocab.json and merges.txt alone use "
            "Tokenizer.from_files"
        )
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is not JSON in UTF-8: {error}") from None
    if not isinstance(config, dict) or config.get("format") != FORMAT:
        found = config.get("format") if isinstance(config, dict) else config
        raise ValueError(
            f"{path} must have the format {FORMAT!r}, found {found!r}; it was not written by Tokenizer.save"
        )
    return config
