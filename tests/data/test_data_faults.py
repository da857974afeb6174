"""What token files, parts and caches survive: flipped bits, old dates, damaged headers, folders without a right."""

import errno
import fcntl
import json
import os
import random
import shutil
import threading
from contextlib import suppress

import numpy as np
import pytest
from data_texts import tokenizer

from cs336_lib import locks
from cs336_lib.data import TokenFile, encode_file, tokens
from cs336_lib.data.downloads import content_hash
from cs336_lib.data.token_format import HEADER_BYTES, MAGIC, Header, write_token_file
from cs336_lib.data.tokens import TokenFileError
from cs336_lib.native import cache

TEXT = b"".join(b"line %d of the text\n<|endoftext|>\n" % i for i in range(400))


@pytest.fixture
def text(tmp_path):
    (tmp_path / "text").write_bytes(TEXT)
    return tmp_path / "text"


def cut_off(text, out):
    """Encode a text and stop before the parts are joined: they are all there."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("cs336_lib.data.joining.Joining.finish", lambda *arguments: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            encode_file(tokenizer(), text, out, part_bytes=2_000, workers=1)
    return out.with_name(out.name + ".parts")


def test_every_flip_in_a_token_file_is_refused(tmp_path):
    path = tmp_path / "x"
    write_token_file(path, [np.arange(200)], vocab_size=264, tokenizer_sha256="ab12")
    raw, good, chance = path.read_bytes(), TokenFile.open(path), random.Random(0)
    said = len(raw[:HEADER_BYTES].rstrip())
    for _ in range(300):
        place, bit = (
            chance.choice([chance.randrange(said), chance.randrange(HEADER_BYTES, len(raw))]),
            chance.randrange(8),
        )
        path.write_bytes(raw[:place] + bytes([raw[place] ^ 1 << bit]) + raw[place + 1 :])
        try:
            opened = TokenFile.open(path)
        except TokenFileError:
            continue
        # White space, and nothing else, may be other white space.
        assert opened.header == good.header and opened.ids.tolist() == good.ids.tolist(), (place, bit)


def test_a_zeroed_block_is_refused_and_a_good_file_is_read_once(tmp_path, monkeypatch):
    path = tmp_path / "x"
    write_token_file(path, [np.full(5_000, 7)], vocab_size=264, tokenizer_sha256="ab12")
    looked = []
    verify = TokenFile.verify
    monkeypatch.setattr(TokenFile, "verify", lambda file: looked.append(1) or verify(file))
    monkeypatch.setattr(tokens, "_LARGE", 1)
    monkeypatch.setenv("CS336_CACHE_DIR", str(tmp_path / "cache"))
    for _ in range(3):
        TokenFile.open(path)
    monkeypatch.setattr(tokens, "_VERIFIED", set())  # as another process has it
    TokenFile.open(path)
    assert len(looked) == 1
    raw, status = path.read_bytes(), path.stat()
    path.write_bytes(raw[:5_000] + bytes(512) + raw[5_512:])
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    with pytest.raises(TokenFileError, match="do not match their hash"):
        TokenFile.open(path)


def test_files_of_before_have_no_hash_of_the_header_and_open(tmp_path):
    path = tmp_path / "x"
    header = write_token_file(path, [np.arange(9)], vocab_size=264, tokenizer_sha256="ab12")
    said = {name: getattr(header, name) for name in Header.__dataclass_fields__}
    old = (MAGIC + (1).to_bytes(4, "little") + json.dumps(said).encode()).ljust(HEADER_BYTES)
    path.write_bytes(old + path.read_bytes()[HEADER_BYTES:])
    assert TokenFile.open(path).header == header


@pytest.mark.parametrize("place", [8, 16, 24, 32, 41, 55])
@pytest.mark.parametrize("which", [0, 3, -1])
def test_a_damaged_header_of_a_part_costs_that_part_alone(text, tmp_path, place, which):
    expected = encode_file(tokenizer(), text, tmp_path / "good").path.read_bytes()
    parts = sorted(cut_off(text, tmp_path / "out").glob("*.ids"))
    raw = bytearray(parts[which].read_bytes())
    raw[place] ^= 1
    parts[which].write_bytes(raw)
    done = encode_file(tokenizer(), text, tmp_path / "out", part_bytes=2_000)
    assert done.path.read_bytes() == expected
    assert 0 < done.encoded_bytes < 5_000  # of 13,000


def test_parts_of_an_older_text_with_the_same_date_are_not_used(text, tmp_path):
    status = text.stat()
    cut_off(text, tmp_path / "out")
    text.write_bytes(TEXT.replace(b"line 7 of", b"LINE 7 OF"))
    os.utime(text, ns=(status.st_atime_ns, status.st_mtime_ns))
    done = encode_file(tokenizer(), text, tmp_path / "out", part_bytes=2_000)
    assert tokenizer().decode_bytes(TokenFile.open(done.path).ids) == text.read_bytes()
    assert done.encoded_bytes < 5_000


def test_a_hash_is_remembered_until_the_file_changes_whatever_its_date(text, tmp_path, monkeypatch):
    monkeypatch.setenv("CS336_CACHE_DIR", str(tmp_path / "cache"))
    before, status = content_hash(text), text.stat()
    assert content_hash(text) == before
    (tmp_path / "other").write_bytes(TEXT[::-1])
    shutil.copystat(text, tmp_path / "other")
    (tmp_path / "other").replace(text)
    assert text.stat().st_mtime_ns == status.st_mtime_ns
    assert content_hash(text) != before


def test_without_locks_no_incomplete_file_is_seen_under_the_final_name(text, tmp_path, monkeypatch, capsys):
    def no_locks(file, kind):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", no_locks)
    monkeypatch.setattr(locks, "_said", set())
    expected = encode_file(tokenizer(), text, tmp_path / "good").path.read_bytes()
    out, seen, stop = tmp_path / "out", [], threading.Event()

    def look():
        while not stop.is_set():
            with suppress(FileNotFoundError):
                seen.append(out.read_bytes() == expected)

    def encode():
        for _ in range(6):
            with suppress(OSError, RuntimeError, ValueError):  # the other has just tidied up
                encode_file(tokenizer(), text, out, part_bytes=2_000, workers=1, resume=False)

    workers = [threading.Thread(target=encode) for _ in range(2)]
    looker = threading.Thread(target=look)
    for thread in (looker, *workers):
        thread.start()
    for thread in workers:
        thread.join()
    stop.set()
    looker.join()
    # Parts that one left behind when the other had removed the plan are refused by name: nothing tells whose they are.
    shutil.rmtree(out.with_name("out.parts"), ignore_errors=True)
    encode_file(tokenizer(), text, out, part_bytes=2_000)
    assert out.read_bytes() == expected and all(seen)


@pytest.mark.parametrize("what", ["a file", "read-only"])
def test_a_cache_folder_that_can_not_be_written_names_the_variable(tmp_path, monkeypatch, what):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("CS336_CACHE_DIR", str(tmp_path / "file" if what == "a file" else "/proc/nope"))
    with pytest.raises(OSError, match=r"cache folder .* can't be written to .*: set CS336_CACHE_DIR"):
        cache.cache_subfolder("corpora")
    assert cache.read_cached("x") is None and not cache.write_cached("x", b"")


def test_odd_homes_have_a_cache_folder_of_their_own(tmp_path, monkeypatch):
    monkeypatch.delenv("CS336_CACHE_DIR", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache.cache_folder() == tmp_path / ".cache" / "cs336_lib"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path))
    monkeypatch.setenv("HOME", "")
    found = cache.cache_folder()
    assert found == tmp_path / f"cs336_lib-{os.getuid()}" and found.stat().st_mode & 0o077 == 0
    found.chmod(0o777)
    with pytest.raises(PermissionError, match="set CS336_CACHE_DIR"):
        cache.cache_folder()
    monkeypatch.setenv("CS336_CACHE_DIR", "~nobody-of-this-name/x")
    with pytest.raises(ValueError, match="CS336_CACHE_DIR is '~nobody"):
        cache.cache_folder()
