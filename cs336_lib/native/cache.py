"""The folder in which compiled kernels and tables wait for the next start; losing it only costs time.

Nothing in here is ever needed: a folder that is missing, read-only or full makes every read a miss and every write a
no-op. `CS336_CACHE_DIR` names another folder.
"""

import contextlib
import hashlib
import os
import secrets
import sys
import tempfile
from pathlib import Path

VARIABLE = "CS336_CACHE_DIR"
_DIGEST_BYTES = 32


def cache_folder() -> Path:
    """Folder of the cached files; it may not exist yet.

    Returns:
        `$CS336_CACHE_DIR` if set, else the platform's place for a user's caches and `cs336_lib` in it.

    >>> cache_folder().name == "cs336_lib" or "CS336_CACHE_DIR" in os.environ
    True
    """
    chosen = os.environ.get(VARIABLE)
    if chosen:
        try:
            return Path(chosen).expanduser()
        except RuntimeError:
            raise ValueError(f"{VARIABLE} is {chosen!r}, and there is no such user; name a folder") from None
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA") or "~/AppData/Local"
    elif sys.platform == "darwin":
        base = "~/Library/Caches"
    else:
        xdg = os.environ.get("XDG_CACHE_HOME", "")
        base = xdg if Path(xdg).is_absolute() else "~/.cache"  # a relative one means nothing, says its standard
    try:
        home = Path(base).expanduser()
    except RuntimeError:  # a user without a home folder
        home = Path("/.cache")
    if home == Path("/.cache"):  # HOME is empty
        return _own_temporary()
    return home / "cs336_lib"


def _own_temporary() -> Path:
    """A folder under the system's temporary one that nobody else can write to: code is loaded from it."""
    user = os.getuid() if hasattr(os, "getuid") else "user"
    folder = Path(tempfile.gettempdir()) / f"cs336_lib-{user}"
    with contextlib.suppress(OSError):
        folder.mkdir(mode=0o700)
    if folder.exists() and hasattr(os, "getuid"):
        status = folder.lstat()
        if status.st_uid != os.getuid() or status.st_mode & 0o022:
            raise PermissionError(
                f"{folder} can be written to by others, and code is loaded from it; set {VARIABLE} to a folder of yours"
            )
    return folder


def cache_subfolder(name: str) -> Path:
    """A folder in the cache for files that are needed, made when missing.

    Raises:
        OSError: it can't be made or written to; the error names the variable that moves the cache.
    """
    folder = cache_folder() / name
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return folder
    except OSError as error:
        raise OSError(
            error.errno,
            f"the cache folder {folder} can't be written to ({error.strerror or error}): set {VARIABLE} to a folder "
            "that can",
        ) from None


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
    temporary = None
    try:
        folder = cache_folder()
        temporary = folder / f"{name}.{secrets.token_hex(6)}.tmp"  # two containers may both be process 1
        folder.mkdir(parents=True, exist_ok=True)
        temporary.write_bytes(hashlib.sha256(content).digest() + content)
        temporary.replace(folder / name)
    except OSError:
        with contextlib.suppress(OSError):
            if temporary is not None:
                temporary.unlink()
        return False
    return True
