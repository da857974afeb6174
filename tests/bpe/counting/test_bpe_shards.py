"""Counting by an executor: the counts of one thread, whoever works, whoever dies, whatever lies there already."""

import json
import os
import subprocess
import sys
import tempfile
from collections import Counter
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import nullcontext
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import pytest
from bpe_corpora import multilingual_text, texts_with_specials, word_counts
from hypothesis import given, settings
from hypothesis import strategies as st

from cs336_lib.bpe import train_bpe, training
from cs336_lib.bpe.counting import shards as sharded_counting
from cs336_lib.bpe.counting import threads as counting
from cs336_lib.bpe.counting.counts_file import DamagedCountsError, is_whole, read_group, write_counts
from cs336_lib.bpe.counting.shards import Sharding, add_up, collect, count_one, counted
from cs336_lib.bpe.counting.threads import Shard
from cs336_lib.bpe.counting.word_table import WordCounts
from cs336_lib.bpe.cutting.cuts import FileChangedError, fingerprint
from cs336_lib.bpe.plain.definition import count_words

END = "<|endoftext|>"
SHARDS = 13
"""Of the fixture's text."""


class Immediately:
    """The least that an executor can be."""

    def submit(self, function, *arguments):
        future = Future()
        try:
            future.set_result(function(*arguments))
        except Exception as error:
            future.set_exception(error)
        return future


def silent(total, task, unit):
    """A progress bar that shows nothing."""
    return nullcontext(lambda more: None)


@pytest.fixture
def corpus(tmp_path, monkeypatch):
    """A text of some shards, and its counts by the definition."""
    monkeypatch.setattr(counting, "PIECE_BYTES", 10_000)
    monkeypatch.setattr(sharded_counting, "_SMALLEST_SHARD", 25_000)
    text = multilingual_text(300_000, special=END)
    path = tmp_path / "corpus.txt"
    path.write_bytes(text)
    return path, count_words(text, [END])


def count(path, executor, folder=None, min_count=1, bar=silent, specials=(END,)):
    with counted(path, specials, executor, folder, min_count, bar) as words:
        return dict(words.items())


EXECUTORS = {
    "caller": Immediately,
    "threads": partial(ThreadPoolExecutor, 3),
    "processes": partial(ProcessPoolExecutor, 2, mp_context=get_context("spawn")),
}


@pytest.mark.parametrize("name", EXECUTORS)
def test_any_executor_gives_the_counts_of_the_definition_and_tidies_up(corpus, name):
    path, expected = corpus
    executor = EXECUTORS[name]()
    with executor if hasattr(executor, "__enter__") else nullcontext():
        assert count(path, executor) == expected
    assert [other.name for other in path.parent.iterdir()] == [path.name]


def test_progress_adds_up_to_the_file_and_to_the_groups(corpus):
    path, _ = corpus
    reported = {}

    def bar(total, task, unit):
        done = reported.setdefault((task, total, unit), [])
        return nullcontext(done.append)

    count(path, Immediately(), bar=bar)
    size = path.stat().st_size
    assert set(reported) == {("counting", size, "B"), ("adding up", 4, "groups")}
    assert all(sum(done) == total for (_, total, _), done in reported.items())
    assert len(reported["counting", size, "B"]) > 10


@settings(max_examples=50, deadline=None)
@given(counts=word_counts, more=word_counts, groups=st.integers(1, 300))
def test_a_word_is_in_one_group_and_in_the_same_one_wherever_it_was_counted(counts, more, groups):
    one, other = (WordCounts.from_mapping(words).by_group(groups) for words in (counts, {**more, **counts}))
    assert len(one) == len(other) == groups
    assert sum((Counter(dict(words.items())) for words in one), Counter()) == Counter(counts)
    for ours, theirs in zip(one, other, strict=True):
        assert {word for word, _ in ours.items()} <= {word for word, _ in theirs.items()}


def test_groups_are_of_about_equal_size():
    words = WordCounts.from_mapping({b" word%d" % number: 1 for number in range(40_000)})
    sizes = [len(group) for group in words.by_group(8)]
    assert max(sizes) < 1.1 * min(sizes)


@settings(max_examples=40, deadline=None)
@given(text=texts_with_specials, shard_bytes=st.integers(1, 40), groups=st.integers(1, 6), min_count=st.integers(1, 3))
def test_shards_of_any_size_and_any_number_of_groups_add_up_to_the_definition(text, shard_bytes, groups, min_count):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "text"
        path.write_bytes(text)
        found = fingerprint(path.stat())
        work = Sharding(
            Shard(str(path), 0, len(text), (END, "<|x|>"), found), Path(folder), shard_bytes, groups, min_count
        )
        for number in range(work.shards):
            count_one(work, number)
        for group in range(work.groups):
            add_up(work, group)
        counts = count_words(text, [END, "<|x|>"])
        assert dict(collect(work).items()) == {word: n for word, n in counts.items() if n >= min_count}


@settings(max_examples=50, deadline=None)
@given(counts=word_counts, groups=st.integers(1, 9))
def test_counts_are_read_as_they_were_written(tmp_path_factory, counts, groups):
    path = tmp_path_factory.getbasetemp() / "words.counts"
    written = WordCounts.from_mapping(counts).by_group(groups)
    write_counts(path, written)
    assert is_whole(path, groups) and not is_whole(path, groups + 1)
    for group, words in enumerate(written):
        read = read_group(path, group)
        assert dict(read.items()) == dict(words.items())
        assert not read.text[read.bounds[-1] :].any(), "the padding is zeros"
    content = path.read_bytes()
    for size in {0, 15, 16, 16 + 32 * groups - 1, 16 + 32 * groups, len(content) - 1} - {len(content)}:
        path.write_bytes(content[:size])
        assert not is_whole(path, groups), f"{size} of {len(content)} bytes"
    path.write_bytes(content + b"0")
    assert not is_whole(path, groups)


def _cut(content):
    return content[:-1]


def _flip(content):
    return content[:-20] + bytes([content[-20] ^ 1]) + content[-19:]


def _other_file(content):
    return b"something else" * 100


@pytest.mark.parametrize("damage", [_cut, _flip, _other_file, lambda content: b""])
def test_a_damaged_file_is_removed_and_made_again(corpus, tmp_path, damage):
    path, expected = corpus
    folder = tmp_path / "work"

    def fail_once(work, group):
        target = work.counts(5)
        target.write_bytes(damage(target.read_bytes()))
        for number in range(work.groups):
            read_group(target, number)

    with pytest.MonkeyPatch.context() as patch, pytest.raises(DamagedCountsError, match=r"00005\.counts was damaged"):
        patch.setattr(sharded_counting, "add_up", fail_once)
        count(path, Immediately(), folder)
    kept = sorted(file.name for file in folder.glob("*.counts"))
    assert "00005.counts" not in kept and len(kept) == SHARDS - 1
    assert count(path, Immediately(), folder) == expected


def test_what_is_finished_is_not_done_again(corpus, tmp_path, monkeypatch):
    path, expected = corpus
    folder, done = tmp_path / "work", []

    def fails_at_the_fourth(work, number):
        if number == 4:
            raise OSError("the network went away")
        return count_one(work, number)

    with pytest.MonkeyPatch.context() as patch, pytest.raises(OSError, match="the network went away"):
        patch.setattr(sharded_counting, "count_one", fails_at_the_fourth)
        count(path, Immediately(), folder)
    assert len(list(folder.glob("*.counts"))) >= 4

    def notes(work, number):
        done.append(number)
        return count_one(work, number)

    there = {int(file.stem) for file in folder.glob("*.counts")}
    monkeypatch.setattr(sharded_counting, "count_one", notes)
    assert count(path, Immediately(), folder) == expected
    assert 4 in done and not there & set(done)


def test_a_run_killed_while_it_counted_goes_on(corpus, tmp_path):
    path, expected = corpus
    folder = tmp_path / "work"
    code = f"""
import os, signal
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from cs336_lib.bpe import train_bpe
from cs336_lib.bpe.counting import shards as sharded_counting
from cs336_lib.bpe.counting import threads as counting
counting.PIECE_BYTES, sharded_counting._SMALLEST_SHARD = 10_000, 25_000
count_one = sharded_counting.count_one
def dies(work, number):
    if number == 7:
        os.kill(os.getpid(), signal.SIGKILL)
    return count_one(work, number)
sharded_counting.count_one = dies
with ThreadPoolExecutor(2) as executor:
    train_bpe({str(path)!r}, 300, [{END!r}], executor=executor, shards={str(folder)!r})
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[3], capture_output=True, text=True)
    assert done.returncode == -9, done.stderr
    assert len(list(folder.glob("*.counts"))) >= 6 and not list(folder.glob("*.sums"))
    assert count(path, Immediately(), folder) == expected


def written_over(path, seconds=1e-3, more=b""):
    """Other words of the same length in place of those that were there, and a date that is later, or the same."""
    was = path.stat().st_mtime_ns
    path.write_bytes(path.read_bytes().replace(b"the", b"eht") + more)
    os.utime(path, ns=(was, was + int(seconds * 1e9)))


# The plan's fields -> what changes them: the text, the arguments of the count, or how the module cuts the work up.
PLANS = {
    "format": [{"_FORMAT": sharded_counting._FORMAT + 1}],
    "fingerprint": [written_over, partial(written_over, seconds=0, more=b" more")],
    "special_tokens": [{"specials": ()}, {"specials": (END, "the")}],
    "shard_bytes": [{"_SMALLEST_SHARD": 30_000}],
    "groups": [{"_FEWEST_GROUPS": 5}],
    "min_count": [{"min_count": 2}],
}


@pytest.fixture
def interrupted(corpus, tmp_path):
    """A folder in which all is finished, and a run over its text that lists the files it makes."""
    path, folder = corpus[0], tmp_path / "work"

    def stop(work):
        raise OSError("enough")

    with pytest.MonkeyPatch.context() as patch, pytest.raises(OSError, match="enough"):
        patch.setattr(sharded_counting, "collect", stop)
        count(path, Immediately(), folder)

    def again(**changes):
        made, write = [], sharded_counting.write_counts

        def notes(target, groups):
            made.append(target.name)
            write(target, groups)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sharded_counting, "write_counts", notes)
            for name in [name for name in changes if name.startswith("_")]:
                patch.setattr(sharded_counting, name, changes.pop(name))
            return count(path, Immediately(), folder, **changes), made

    return folder, again


@pytest.mark.parametrize(("field", "number"), [(field, k) for field in PLANS for k in range(len(PLANS[field]))])
def test_what_is_finished_under_another_plan_is_not_used(corpus, interrupted, field, number):
    path, (_, again) = corpus[0], interrupted
    change = PLANS[field][number]
    if callable(change):
        change(path)
        change = {}
    found, made = again(**change)
    words = count_words(path.read_bytes(), list(change.get("specials", [END])))
    assert found == {word: times for word, times in words.items() if times >= change.get("min_count", 1)}
    shards = -(-path.stat().st_size // change.get("_SMALLEST_SHARD", 25_000))
    assert len(made) == len(set(made)) == shards + change.get("_FEWEST_GROUPS", 4)


def test_each_field_of_the_plan_is_changed_above(interrupted):
    assert json.loads((interrupted[0] / "plan.json").read_text()).keys() == PLANS.keys()


def test_what_is_finished_under_the_same_plan_is_used(corpus, interrupted):
    assert interrupted[1]() == (corpus[1], [])


CHANGES = {"longer": lambda path: path.write_bytes(path.read_bytes() + b" more"), "as long": written_over}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("shard", [0, 5, SHARDS - 1])
def test_a_file_that_changes_while_it_is_counted_is_an_error(corpus, tmp_path, monkeypatch, change, shard):
    """Behind the last shard, no worker opens the file any more."""
    path, _ = corpus
    folder = tmp_path / "work"

    def changes(work, number):
        size = count_one(work, number)
        if number == shard:
            CHANGES[change](path)
        return size

    monkeypatch.setattr(sharded_counting, "count_one", changes)
    with pytest.raises(FileChangedError, match=r"changed while it was read: it had 300,\d+ bytes"):
        count(path, Immediately(), folder)
    assert len(list(folder.glob("*.counts"))) == shard + 1 and not list(folder.glob("*.sums"))


@pytest.mark.parametrize("change", CHANGES)
def test_a_worker_that_sees_another_text_counts_none_of_it(corpus, tmp_path, change):
    path, _ = corpus
    work = sharding(path, tmp_path)
    CHANGES[change](path)
    with pytest.raises(FileChangedError, match="changed while it was read"):
        count_one(work, 0)
    assert not work.counts(0).exists()


@pytest.mark.parametrize("min_count", [1, 2, 5])
def test_rare_words_are_left_out_on_every_road(corpus, monkeypatch, min_count):
    path, expected = corpus
    kept = {word: number for word, number in expected.items() if number >= min_count}
    assert count(path, Immediately(), min_count=min_count) == kept
    results = []
    for compiled, executor in ((False, None), (True, None), (True, Immediately())):
        monkeypatch.setattr(training, "_road", lambda size, compiled=compiled: "compiled" if compiled else "plain")
        results.append(train_bpe(path, 600, [END], executor=executor, min_count=min_count))
    assert results[0].merges == results[1].merges == results[2].merges
    assert {result.stats.distinct_words for result in results} == {len(kept)}
    assert {result.stats.words for result in results} == {sum(kept.values())}


def sharding(path, folder):
    stat = path.stat() if path.exists() else None
    found = fingerprint(stat) if stat else (1_000, 0)
    return Sharding.of(Shard(str(path), 0, found[0], (END,), found), folder, 1)


def test_a_worker_that_does_not_see_the_text_says_where_it_is(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"a worker on .+ can't read .*away\.txt .*storage that they share"):
        count_one(sharding(tmp_path / "away.txt", tmp_path), 0)


def test_a_worker_that_does_not_see_the_folder_says_where_it_is(corpus, tmp_path):
    path, _ = corpus
    work = sharding(path, tmp_path / "nowhere")
    with pytest.raises(FileNotFoundError, match=r"a worker on .+ can't write .*nowhere/00000\.counts"):
        count_one(work, 0)
    with pytest.raises(FileNotFoundError, match=r"a worker on .+ can't read .*nowhere"):
        add_up(work, 0)


def test_bad_arguments_are_told_before_any_work(corpus, tmp_path, monkeypatch):
    path, _ = corpus
    with pytest.raises(ValueError, match="give an executor, too"):
        train_bpe(path, 300, shards=tmp_path)
    with pytest.raises(FileNotFoundError, match=r"no folder '.*nowhere' to make 'work' in; create it first"):
        count(path, Immediately(), tmp_path / "nowhere" / "work")
    with pytest.raises(ValueError, match=r"holds 'corpus\.txt', which is no part of this work"):
        count(path, Immediately(), tmp_path)
    with pytest.raises(ValueError, match=r"min_count must be 1 .* got 0"):
        train_bpe(path, 300, min_count=0)
    with pytest.raises(TypeError, match=r"min_count must be an integer, got 1\.5"):
        train_bpe(path, 300, min_count=1.5)
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    with pytest.raises(PermissionError, match="shards=FOLDER"):
        count(path, Immediately())


def test_an_executor_that_was_shut_down_says_so(corpus, tmp_path):
    class GivesUp:
        def submit(self, function, *arguments):
            future = Future()
            future.cancel()
            future.set_running_or_notify_cancel()
            return future

    with pytest.raises(RuntimeError, match="the executor gave the work up"):
        count(corpus[0], GivesUp(), tmp_path / "work")


@pytest.mark.parametrize(
    ("size", "shards", "groups"),
    [(1, 1, 4), (10_000_000, 3, 4), (12 * 10**9, 64, 4), (825 * 10**9, 825, 207), (10**14, 100_000, 4_096)],
)
def test_shards_and_groups_follow_the_size_of_the_text(size, shards, groups):
    work = Sharding.of(Shard("/x", 0, size, (), (size, 0)), Path("/y"), 1)
    assert (work.shards, work.groups) == (shards, groups)
    assert work.shard(0).start == 0 and work.shard(work.shards - 1).stop == size
    assert all(work.shard(k).stop == work.shard(k + 1).start for k in range(min(work.shards - 1, 100)))
