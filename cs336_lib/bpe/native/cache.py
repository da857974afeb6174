"""The folder in which compiled kernels and tables wait for the next start; losing it only costs time.

Nothing in here is ever needed: a folder that is missing, read-only or full makes every read a miss and every write a
no-op. `CS336_CACHE_DIR` names another folder.
"""

import contextlib
import hashlib
import os
import sys
import tempfile
from pathlib import Path

_DIGEST_BYTES = 32


def cache_folder() -> Path:
    """Folder of the cached files; it may not exist yet.

    Returns:
        `$CS336_CACHE_DIR` if set, else the platform's place for a user's caches and `cs336_lib` in it.

    >>> cache_folder().name == "cs336_lib" or "CS336_CACHE_DIR" in os.environ
    True
    """
    chosen = os.environ.get("CS336_CACHE_DIR")
    if chosen:
        return Path(chosen).expanduser()
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA") or "~/AppData/Local"
    elif sys.platform == "darwin":
        base = "~/Library/Caches"
    else:
        base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    try:
        return Path(base).expanduser() / "cs336_lib"
    except RuntimeError:  # a user without a home folder
        return Path(tempfile.gettempdir()) / "cs336_lib"


def has_cached(name: str) -> bool:
    """Whether a file of that name waits in the cache, whole."""
    return read_cached(name) is not None


def read_cached(name: str) -> bytes | None:
    """Content of a cached file, or None where there is none or it is damaged (a full disk leaves half files)."""
    try:
        stored = (cache_folder() / name).read_bytes()
    except OSError:
        return None
    digest, content = stored[:_DIGEST_BYTES], stored[_DIGEST_BYTES:]
    return content if hashlib.sha256(content).digest() == digest else None


def write_cached(name: str, content: bytes) -> bool:
    """Store a file under a temporary name, then rename it, so that no reader ever sees half of it.

    Args:
        name: file name inside the cache folder.
        content: its bytes.

    Returns:
        Whether it could be stored.
    """
    folder = cache_folder()
    temporary = folder / f"{name}.{os.getpid()}.tmp"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        temporary.write_bytes(hashlib.sha256(content).digest() + content)
        temporary.replace(folder / name)
    except OSError:
        with contextlib.suppress(OSError):
            temporary.unlink()
        return False
    return True
