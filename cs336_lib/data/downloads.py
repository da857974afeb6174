"""Files from the Hugging Face hub that are what they claim to be.

huggingface_hub does the downloading: it resumes, shows its progress and keeps one copy for all programs of a user. What
it hands over is compared with a size and a SHA-256 that are written down here in the library, so a file that was cut
short, altered, or replaced at its source is an error and not a data set. Hashing happens once: afterward size and date
tell whether a file is still the one that was hashed. `corpora` knows which files there are.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.request import getproxies

from cs336_lib.atomic import replacing
from cs336_lib.bars import bar as progress_bar
from cs336_lib.jsonfile import parsed
from cs336_lib.native.cache import cache_subfolder

_BLOCK = 1 << 20
_INSTEAD = '"tales" in its place needs no network, and neither does the path of a text file'


class CorpusError(RuntimeError):
    """A corpus could not be had; the message is one line and says what to do."""


@dataclass(frozen=True)
class Contents:
    """What a file must hold: its size in bytes and its SHA-256."""

    size: int
    sha256: str


@dataclass(frozen=True)
class HubFile:
    """A file of a dataset on the hub.

    Attributes:
        repository: "owner/name".
        revision: commit or branch.
        filename: inside the repository; `.gz` is unpacked.
        stored: what is downloaded.
        text: what it holds when it is unpacked; None if it isn't packed.
    """

    repository: str
    revision: str
    filename: str
    stored: Contents
    text: Contents | None = None

    @property
    def size(self) -> int:
        """Bytes of text."""
        return (self.text or self.stored).size


def corpora_folder() -> Path:
    """Where generated and unpacked corpora lie; made when missing."""
    return cache_subfolder("corpora")


def fetch(file: HubFile, progress: bool = False) -> Path:
    """The text of a file on the hub, downloaded, unpacked and verified where that is still to be done.

    Args:
        file: which one.
        progress: show progress bars (the hub's own shows in any case).

    Returns:
        Path of a text file that must not be written to.

    Raises:
        CorpusError: there is no network, or the file is not what it should be.
    """
    if file.text is not None:
        path = corpora_folder() / file.filename.removesuffix(".gz")
        if path.exists():
            verify(path, file.text, progress)
            return path
    stored = _download(file)
    verify(stored, file.stored, progress)
    return stored if file.text is None else _unpack(stored, path, file.text, progress)


def verify(path: Path, expected: Contents, progress: bool = False) -> None:
    """Compare a file's size, and its hash unless it is known, with what it must hold.

    Raises:
        CorpusError: they differ.
    """
    size = path.stat().st_size
    if size != expected.size:
        kind = "short" if size < expected.size else "long"
        raise CorpusError(
            f"{path} is too {kind}: {size:,} bytes instead of {expected.size:,}; delete it and get the corpus again"
        )
    if known_hash(path) == expected.sha256:
        return
    found = hash_file(path, progress)
    if found != expected.sha256:
        raise CorpusError(
            f"{path} was altered: its SHA-256 begins with {found[:12]} instead of {expected.sha256[:12]}; "
            "delete it and get the corpus again"
        )
    remember_hash(path, found)


def hash_file(path: Path, progress: bool = False) -> str:
    """SHA-256 of a file, in hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        for block in _blocks(file, path.stat().st_size, f"verify {path.name}", progress):
            digest.update(block)
    return digest.hexdigest()


def known_hash(path: Path) -> str | None:
    """The hash that was remembered for a file, if the file has kept its size and date since."""
    try:
        known = parsed(_note(path).read_bytes())
        return known["sha256"] if {**_identity(path), "sha256": known["sha256"]} == known else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def remember_hash(path: Path, sha256: str) -> None:
    """Note that a file was hashed, so that it need not be done again; a disk that can't take the note loses nothing."""
    note = {**_identity(path), "sha256": sha256}
    try:
        with replacing(_note(path)) as file:
            file.write(json.dumps(note).encode())
    except OSError:
        return


def content_hash(path: Path, progress: bool = False) -> str:
    """SHA-256 of a file, read once and then remembered for as long as nobody touches the file."""
    known = known_hash(path)
    if known is None:
        known = hash_file(path, progress)
        remember_hash(path, known)
    return known


def _identity(path: Path) -> dict[str, int]:
    """What changes when a file does: its date alone can be that of another one (cp -p, rsync -t, tar)."""
    status = path.stat()
    names = ("size", "mtime_ns", "ctime_ns", "ino")
    return {name: getattr(status, f"st_{name}") for name in names}


def _note(path: Path) -> Path:
    name = hashlib.sha256(os.fsencode(path.resolve())).hexdigest()[:16]
    return corpora_folder() / f"{path.name}-{name}.json"


def _download(file: HubFile) -> Path:
    """The file in the hub's cache, downloaded if it is not there."""
    from huggingface_hub import constants, hf_hub_download, try_to_load_from_cache

    repository, name, revision = file.repository, file.filename, file.revision
    cached = try_to_load_from_cache(repository, name, revision=revision, repo_type="dataset")
    if isinstance(cached, str):
        return Path(cached)
    try:
        _resolve(constants.ENDPOINT)
        return Path(hf_hub_download(repository, name, revision=revision, repo_type="dataset"))
    except Exception as error:  # what is raised differs between versions of the hub's library
        reason = " ".join(str(error.__cause__ or error).split())[:200] or type(error).__name__
        raise CorpusError(f"cannot download {name} from {repository} ({reason}); {_INSTEAD}") from error


def _resolve(endpoint: str) -> None:
    """Fail at once where the hub's name means nothing; its library would try for half a minute."""
    host = endpoint.partition("://")[2].partition("/")[0].partition(":")[0]
    if not getproxies():
        socket.getaddrinfo(host, 443)


def _unpack(packed: Path, path: Path, expected: Contents, progress: bool) -> Path:
    """Unpack a gzip file; it takes its name only if it holds what it should."""
    digest, size = hashlib.sha256(), 0
    try:
        with gzip.open(packed) as source, replacing(path) as out:
            for block in _blocks(source, expected.size, f"unpack {packed.name}", progress):
                out.write(block)
                digest.update(block)
                size += len(block)
            if (size, digest.hexdigest()) != (expected.size, expected.sha256):
                raise EOFError(f"{size:,} bytes of text instead of {expected.size:,}, or others")
    except (EOFError, gzip.BadGzipFile) as error:
        raise CorpusError(f"{packed} does not unpack ({error}); delete it and get the corpus again") from error
    remember_hash(path, expected.sha256)
    return path


def _blocks(file: object, total: int, task: str, progress: bool) -> Iterator[bytes]:
    read = file.read  # type: ignore[attr-defined]
    with progress_bar(total=total, unit="B", unit_scale=True, desc=task, disable=not progress, leave=False) as bar:
        while block := read(_BLOCK):
            yield block
            bar.update(len(block))
