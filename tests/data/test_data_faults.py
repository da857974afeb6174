"""What token files, parts and caches survive: flipped bits, old dates, damaged headers, folders without a right."""

import errno
import fcntl
import json
import os
import random
import re
import shutil
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import numpy as np
import pytest
from data_texts import tokenizer

from cs336_lib import locks
from cs336_lib.data import TokenFile, encode_file, joining, parts, tokens
from cs336_lib.data.downloads import content_hash
from cs336_lib.data.joining import Joining
from cs336_lib.data.token_format import HEADER_BYTES, MAGIC, Header, write_token_file
from cs336_lib.data.tokens import TokenFileError
from cs336_lib.native import cache

TEXT = b"".join(b"line %d of the text\n<|endoftext|>\n" % i for i in range(400))


@pytest.fixture
def text(tmp_path):
    (tmp_path / "text").write_bytes(TEXT)
    return tmp_path / "text"


def cut_off(text, out):
    """Encode a text and stop before the parts are joined: they are all there, each in a file of its own."""
    with pytest.MonkeyPatch.context() as patch, ThreadPoolExecutor(1) as pool:
        patch.setattr("cs336_lib.data.joining.Joining.finish", lambda *arguments: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            encode_file(tokenizer(), text, out, part_bytes=2_000, executor=pool)
    folder = out.with_name(out.name + ".parts")
    for path in (*folder.glob("*.joined"), *folder.glob("*.log")):
        path.unlink()
    return folder


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


def joined(text, out):
    """Encode a text and stop when all parts are joined, before the file takes its name: its path and its log's."""

    def finish(self, *arguments):
        self._done.result()
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr("cs336_lib.data.joining.Joining.finish", finish)
        encode_file(tokenizer(), text, out, part_bytes=2_000, workers=2)
    folder = out.with_name(out.name + ".parts")
    for path in folder.glob("*.ids"):  # of parts that had to wait
        path.unlink()
    (ids,), (log,) = folder.glob("*.joined"), folder.glob("*.log")
    return ids, log


def flipped(raw, place, bit):
    return raw[:place] + bytes([raw[place] ^ 1 << bit]) + raw[place + 1 :]


@pytest.mark.parametrize("locks_work", [True, False])
@pytest.mark.parametrize("seed", range(4))
def test_what_is_joined_is_used_as_far_as_it_is_true(text, tmp_path, monkeypatch, seed, locks_work):
    if not locks_work:
        monkeypatch.setattr("cs336_lib.data.joining.is_held", lambda path: False)
    expected, chance = encode_file(tokenizer(), text, tmp_path / "good").path.read_bytes(), random.Random(seed)
    kept = []
    for _ in range(12):
        out = tmp_path / "out"
        for path in joined(text, out):
            raw = path.read_bytes()
            place = chance.randrange(len(raw))
            how = chance.choice(["cut", "flipped", "zeros", "longer", "as it was", "gone"])
            if how == "cut":
                path.write_bytes(raw[:place])
            elif how == "flipped":
                path.write_bytes(flipped(raw, place, chance.randrange(8)))
            elif how == "zeros":
                path.write_bytes(raw[:place] + bytes(len(raw) - place))
            elif how == "longer":
                path.write_bytes(raw + raw[place:])
            elif how == "gone":
                path.unlink()
        done = encode_file(tokenizer(), text, out, part_bytes=2_000)
        assert done.path.read_bytes() == expected and not out.with_name("out.parts").exists()
        kept.append(done.source_bytes - done.encoded_bytes)
        out.unlink()
    assert max(kept) > 0


@pytest.mark.parametrize("place", range(5))
def test_a_damaged_id_costs_the_parts_from_there_on(text, tmp_path, place):
    expected = encode_file(tokenizer(), text, tmp_path / "good").path.read_bytes()
    ids, log = joined(text, tmp_path / "out")
    reached = [json.loads(line) for line in log.read_text().splitlines()]
    assert [one["parts"] for one in reached] == list(range(1, 8))
    ids.write_bytes(flipped(ids.read_bytes(), HEADER_BYTES + 2 * reached[place]["ids"], 3))
    done = encode_file(tokenizer(), text, tmp_path / "out", part_bytes=2_000)
    assert done.path.read_bytes() == expected
    assert done.source_bytes - done.encoded_bytes == reached[place]["text_bytes"]


@pytest.mark.parametrize("what", ["removed before the next part", "written to"])
def test_a_file_in_the_making_that_another_process_touched_never_gets_the_final_name(text, tmp_path, monkeypatch, what):
    """Where nothing can be locked."""
    _, log = joined(text, tmp_path / "out")
    log.write_bytes(b"".join(log.read_bytes().splitlines(True)[:3]))
    take_up, finish = Joining.take_up, Joining.finish

    def removed(self, *arguments):
        monkeypatch.setattr(self._thread, "start", lambda: self._path.unlink() or threading.Thread.start(self._thread))
        return take_up(self, *arguments)

    def written_to(self, *arguments):
        self._done.result()
        with self._path.open("ab") as file:
            file.write(b"more")
        return finish(self, *arguments)

    if what == "written to":
        monkeypatch.setattr(Joining, "finish", written_to)
    else:
        monkeypatch.setattr(Joining, "take_up", removed)
    with pytest.raises(FileNotFoundError, match="has removed the token file in the making, or written to it"):
        encode_file(tokenizer(), text, tmp_path / "out", part_bytes=2_000)
    assert not (tmp_path / "out").exists()


NUMBERS = (
    "100.5",
    "100.0",
    "Infinity",
    "NaN",
    "-1",
    "true",
    '"7"',
    "null",
    "1" + "0" * 13,
    "1" + "0" * 30,
    "[" * 99_999,
)


@pytest.mark.parametrize("name", ["parts", "text_bytes", "ids"])
@pytest.mark.parametrize("number", NUMBERS, ids=lambda number: number[:16])
def test_a_log_with_a_wrong_number_costs_work_and_nothing_else(text, tmp_path, name, number):
    expected = encode_file(tokenizer(), text, tmp_path / "good").path.read_bytes()
    _, log = joined(text, tmp_path / "out")
    lines = log.read_text().splitlines(keepends=True)
    lines[2] = re.sub(f'("{name}": )\\d+', lambda found: found[1] + number, lines[2])
    log.write_text("".join(lines))
    done = encode_file(tokenizer(), text, tmp_path / "out", part_bytes=2_000)
    assert done.path.read_bytes() == expected
    assert done.source_bytes - done.encoded_bytes == json.loads(lines[1])["text_bytes"]


def test_the_longest_of_several_that_were_joined_is_taken_and_the_others_go(text, tmp_path):
    expected = encode_file(tokenizer(), text, tmp_path / "good").path.read_bytes()
    ids, log = joined(text, tmp_path / "out")
    for name, lines in (("aa", 2), ("zz", 4)):  # as runs that were killed while they took it over leave them
        ids.with_name(f"{name}.log").write_bytes(b"".join(log.read_bytes().splitlines(True)[:lines]))
        ids.with_name(f"{name}.joined").write_bytes(ids.read_bytes()[: HEADER_BYTES + 20 * lines])
    done = encode_file(tokenizer(), text, tmp_path / "out", part_bytes=2_000)
    assert done.encoded_bytes == 0 and done.path.read_bytes() == expected
    assert sorted(path.name for path in tmp_path.iterdir()) == ["good", "out", "text"]


def test_what_was_joined_of_an_older_text_with_the_same_date_is_not_used(text, tmp_path):
    status = text.stat()
    joined(text, tmp_path / "out")
    text.write_bytes(TEXT.replace(b"line 207 of", b"LINE 207 OF"))
    os.utime(text, ns=(status.st_atime_ns, status.st_mtime_ns))
    done = encode_file(tokenizer(), text, tmp_path / "out", part_bytes=2_000)
    assert tokenizer().decode_bytes(TokenFile.open(done.path).ids) == text.read_bytes()
    assert 6_000 < done.encoded_bytes < 9_000  # the parts before it are kept


@pytest.mark.parametrize("first", ["threads", "elsewhere"])
def test_threads_and_workers_elsewhere_go_on_with_what_the_others_did(text, tmp_path, first):
    expected, out = encode_file(tokenizer(), text, tmp_path / "good").path.read_bytes(), tmp_path / "out"
    (joined if first == "threads" else cut_off)(text, out)
    with ThreadPoolExecutor(1) as pool:
        executor = pool if first == "threads" else None
        done = encode_file(tokenizer(), text, out, part_bytes=2_000, executor=executor)
    assert done.encoded_bytes == 0 and out.read_bytes() == expected


def test_a_part_that_a_slow_one_keeps_waiting_does_not_wait_in_memory(text, tmp_path, monkeypatch):
    expected = encode_file(tokenizer(), text, tmp_path / "good").path.read_bytes()
    encode_part, others, there = parts.encode_part_here, threading.Event(), []

    def first_is_slow(job, index, near):
        if index == 0:
            others.wait(30)
        done = encode_part(job, index, near)
        there.append((index, done.ids is not None, job.path(index).exists()))
        if len(there) == job.parts - 1:
            others.set()
        return done

    monkeypatch.setattr("cs336_lib.data.encode.encode_part_here", first_is_slow)
    done = encode_file(tokenizer(), text, tmp_path / "out", part_bytes=2_000, workers=2)
    assert done.path.read_bytes() == expected
    in_memory = {index for index, memory, file in there if memory and not file}
    assert in_memory == {0, 1, 2} and len(there) == 7


def test_only_the_first_wait_for_a_slow_part_takes_time(text, tmp_path, monkeypatch):
    encode_part, near, others, waits = parts.encode_part_here, Joining.near, threading.Event(), []

    def first_is_slow(job, index, near):
        if index == 0:
            others.wait(30)
        done = encode_part(job, index, near)
        if index == job.parts - 1:
            others.set()
        return done

    def timed(self, index):
        began = time.monotonic()
        found = near(self, index)
        waits.append(time.monotonic() - began)
        return found

    monkeypatch.setattr(joining, "_SLOW", 0.3)
    monkeypatch.setattr(Joining, "near", timed)
    monkeypatch.setattr("cs336_lib.data.encode.encode_part_here", first_is_slow)
    encode_file(tokenizer(), text, tmp_path / "out", part_bytes=500, workers=2)
    assert len(waits) > 20 and sum(waits) < 2 * joining._SLOW


def test_workers_wait_for_what_joins_their_parts(text, tmp_path, monkeypatch):
    """Or parts would be written, read and written again, which takes longer than waiting."""
    expected = encode_file(tokenizer(), text, tmp_path / "good").path.read_bytes()
    encode_part, write, there = parts.encode_part_here, Joining._write, []

    def slowly(self, *given):
        time.sleep(2 * joining._SLOW)
        return write(self, *given)

    def notes(job, index, near):
        done = encode_part(job, index, near)
        there.append(done.ids is not None and not job.path(index).exists())
        return done

    monkeypatch.setattr(Joining, "_write", slowly)
    monkeypatch.setattr("cs336_lib.data.encode.encode_part_here", notes)
    done = encode_file(tokenizer(), text, tmp_path / "out", part_bytes=2_000, workers=2)
    assert done.path.read_bytes() == expected
    assert len(there) > 6 and all(there)


@pytest.mark.parametrize("where", ["here", "elsewhere"])
def test_who_can_not_put_a_part_down_is_told_why(text, tmp_path, monkeypatch, where):
    """Threads of this process see what it sees: nothing is said to them of storage that machines share."""
    known = Header.checked(tokenizer().vocab_size, tokenizer().fingerprint)
    plan = parts.Plan(len(TEXT), text.stat().st_mtime_ns, known.tokenizer_sha256, known.vocab_size, 2_000)
    folder = tmp_path / "out.parts"
    folder.mkdir()
    job = parts.Job(tokenizer() if where == "here" else parts.put_down(tokenizer(), folder), text, folder, plan)
    put_down = parts._put_down
    monkeypatch.setattr(parts, "_put_down", lambda *given: (shutil.rmtree(folder), put_down(*given))[1])
    with pytest.raises(FileNotFoundError) as caught:
        parts.encode_part_here(job, 0, lambda index: False) if where == "here" else parts.encode_part(job, 0)
    said = {
        "here": "removed the folder of parts; run encode_file again",
        "elsewhere": "put it on storage that they share",
    }
    for other in said:
        assert (said[other] in str(caught.value)) == (other == where)
    assert "out.parts" in str(caught.value)


@pytest.mark.parametrize("place", [8, 16, 24, 32, 41, 55])
@pytest.mark.parametrize("which", [0, 3, -1])
def test_a_damaged_header_of_a_part_costs_that_part_alone(text, tmp_path, place, which):
    expected = encode_file(tokenizer(), text, tmp_path / "good").path.read_bytes()
    path = sorted(cut_off(text, tmp_path / "out").glob("*.ids"))[which]
    raw = bytearray(path.read_bytes())
    raw[place] ^= 1
    path.write_bytes(raw)
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
