"""corpora: texts by name or path, and what happens when they can't be had."""

import gzip
import hashlib
import os
import socket
from pathlib import Path

import huggingface_hub
import pytest

from cs336_lib.data import corpora, downloads, tales
from cs336_lib.data.downloads import Contents, CorpusError, HubFile

TRAIN = b"Once there was a train.\n<|endoftext|>\nOne more.\n<|endoftext|>\n"
VALID = b"Once there was a valley.\n<|endoftext|>\n"


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """A cache folder of the test's own, so that nothing of the user's is touched."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("CS336_CACHE_DIR", str(folder))
    return folder


def contents(data):
    return Contents(len(data), hashlib.sha256(data).hexdigest())


class Hub:
    """A hub with the files that it was given, and a cache as huggingface_hub has one."""

    def __init__(self, folder):
        self.files, self.folder, self.downloads, self.error = {}, folder, [], None
        folder.mkdir()

    def cached(self, repo_id, filename, revision, repo_type):
        assert repo_type == "dataset" and revision == "c0ffee"
        path = self.folder / filename
        return str(path) if path.exists() else None

    def download(self, repo_id, filename, revision, repo_type):
        if self.error:
            raise self.error
        self.downloads.append(filename)
        (self.folder / filename).write_bytes(self.files[filename])
        return self.cached(repo_id, filename, revision, repo_type)


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """A hub that has "plain" and "packed"."""
    hub = Hub(tmp_path / "hub")
    registry = {"plain": {}, "packed": {}}
    for split, data in (("train", TRAIN), ("valid", VALID)):
        packed = gzip.compress(data)
        hub.files |= {f"{split}.txt": data, f"p_{split}.txt.gz": packed}
        registry["plain"][split] = HubFile("a/b", "c0ffee", f"{split}.txt", contents(data))
        registry["packed"][split] = HubFile("a/b", "c0ffee", f"p_{split}.txt.gz", contents(packed), contents(data))
    monkeypatch.setattr(corpora, "HUB", registry)
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", hub.download)
    monkeypatch.setattr(huggingface_hub, "try_to_load_from_cache", hub.cached)
    monkeypatch.setattr(downloads, "_resolve", lambda endpoint: None)
    return hub


@pytest.mark.parametrize("name", ["plain", "packed"])
def test_a_named_corpus_is_downloaded_once(hub, name):
    corpus = corpora.get(name)
    assert (corpus.name, corpus.train.read_bytes(), corpus.valid.read_bytes()) == (name, TRAIN, VALID)
    assert len(hub.downloads) == 2 and "valid" in hub.downloads[0]
    assert corpora.get(name) == corpus
    assert len(hub.downloads) == 2


def test_an_unpacked_corpus_needs_its_archive_no_longer(hub):
    corpus = corpora.get("packed")
    for path in hub.folder.iterdir():
        path.unlink()
    hub.error = OSError("no network")
    assert corpora.get("packed") == corpus


def test_hashes_are_computed_once_and_again_when_the_file_was_touched(hub, monkeypatch):
    hashed = []
    hash_file = downloads.hash_file
    monkeypatch.setattr(downloads, "hash_file", lambda path, *a: hashed.append(path.name) or hash_file(path, *a))
    for _ in range(3):
        corpora.get("plain")
    assert sorted(hashed) == ["train.txt", "valid.txt"]
    os.utime(hub.folder / "train.txt", ns=(1, 1))
    corpora.get("plain")
    assert len(hashed) == 3


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda data: data[:-5], "is too short: .* delete it and get the corpus again"),
        (lambda data: data + b"x", "is too long"),
        (lambda data: data[:-5] + b"?????", "was altered: .* delete it and get the corpus again"),
    ],
)
@pytest.mark.parametrize("name", ["plain", "packed"])
def test_a_download_that_is_not_what_it_should_be_is_refused_every_time(hub, cache, name, damage, message):
    file = {"plain": "train.txt", "packed": "p_train.txt.gz"}[name]
    hub.files[file] = damage(hub.files[file])
    for _ in range(2):
        with pytest.raises(CorpusError, match=message) as caught:
            corpora.get(name)
        assert file in str(caught.value)
    assert not (cache / "corpora" / "p_train.txt").exists()


def test_a_corpus_altered_after_it_was_verified_is_noticed(hub):
    path = corpora.get("packed").train
    path.write_bytes(TRAIN[::-1])
    with pytest.raises(CorpusError, match="was altered"):
        corpora.get("packed")


@pytest.mark.parametrize("damage", [lambda data: data[:-9], lambda data: b"no gzip" + data[7:]])
def test_an_archive_that_does_not_unpack_leaves_nothing(hub, cache, monkeypatch, damage):
    broken = damage(gzip.compress(TRAIN))
    hub.files["p_train.txt.gz"] = broken
    file = HubFile("a/b", "c0ffee", "p_train.txt.gz", contents(broken), contents(TRAIN))
    monkeypatch.setitem(corpora.HUB["packed"], "train", file)
    with pytest.raises(CorpusError, match="does not unpack"):
        corpora.get("packed")
    assert not [path for path in (cache / "corpora").iterdir() if "p_train" in path.name and path.suffix != ".json"]


def test_an_archive_of_another_text_is_refused(hub, monkeypatch):
    packed = gzip.compress(VALID)
    hub.files["p_train.txt.gz"] = packed
    file = HubFile("a/b", "c0ffee", "p_train.txt.gz", contents(packed), contents(TRAIN))
    monkeypatch.setitem(corpora.HUB["packed"], "train", file)
    with pytest.raises(CorpusError, match=r"does not unpack .39 bytes of text instead of 62"):
        corpora.get("packed")


def test_without_a_network_one_line_offers_what_works(hub):
    hub.error = OSError("[Errno -2] Name or service\nnot known")
    with pytest.raises(CorpusError) as caught:
        corpora.get("plain")
    (line,) = str(caught.value).splitlines()
    assert "cannot download valid.txt from a/b ([Errno -2] Name or service not known)" in line
    assert '"tales" in its place needs no network' in line and "path of a text file" in line


def test_a_name_that_cannot_be_resolved_fails_at_once_unless_a_proxy_resolves_it(monkeypatch):
    def unknown(host, port):
        raise socket.gaierror(-2, f"{host} unknown")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", lambda *a, **k: pytest.fail("tried all the same"))
    monkeypatch.setattr(downloads, "getproxies", dict)
    with pytest.raises(CorpusError, match=r"huggingface\.co unknown"):
        downloads.fetch(HubFile("a/b", "c0ffee", "c", contents(b"")))
    monkeypatch.setattr(downloads, "getproxies", lambda: {"https": "http://proxy"})
    downloads._resolve("https://hub.invalid:443/x")


def test_tales_are_made_once_at_any_size_and_both_splits_are_tales(cache):
    corpus = corpora.get("tales", size_bytes=50_000, seed=3)
    text = corpus.train.read_text()
    assert 47_000 < len(text) <= 50_000
    assert text.startswith(tales.story(3, 0).text + tales.SEPARATOR)
    assert corpus.valid.read_text().startswith(tales.story(3, 0, "valid").text)
    assert 97_000 < corpus.valid.stat().st_size <= 100_000
    before = corpus.train.stat().st_mtime_ns
    assert corpora.get("tales", size_bytes=50_000, seed=3).train.stat().st_mtime_ns == before
    assert corpus.train.is_relative_to(cache)


def test_tales_that_were_touched_are_made_anew():
    path = corpora.get("tales", size_bytes=20_000).train
    good = path.read_bytes()
    path.write_bytes(good[:-3])
    assert corpora.get("tales", size_bytes=20_000).train.read_bytes() == good


def test_paths_are_corpora(tmp_path):
    (tmp_path / "notes.txt").write_text("Notes.")
    assert corpora.get(str(tmp_path / "notes.txt")) == corpora.Corpus(
        str(tmp_path / "notes.txt"), tmp_path / "notes.txt", None
    )
    (tmp_path / "my-train.txt").write_text("T")
    assert corpora.get(tmp_path).valid is None
    (tmp_path / "my-val.txt").write_text("V")
    corpus = corpora.get(tmp_path)
    assert (corpus.train.name, corpus.valid.name) == ("my-train.txt", "my-val.txt")
    (tmp_path / "other_train.txt").write_text("T")
    with pytest.raises(CorpusError, match=r"both my-train\.txt and other_train\.txt"):
        corpora.get(tmp_path)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda: corpora.get("tinystorys"),
            FileNotFoundError,
            "'tinystorys': it must be one of tales, tinystories, owt",
        ),
        (lambda: corpora.get("owt", size_bytes=5), ValueError, "size_bytes=5: only .tales. comes in any size"),
        (lambda: corpora.get("tales", size_bytes=0), ValueError, "size_bytes=0"),
        (lambda: corpora.get("tales", seed=-1), ValueError, "seed=-1"),
        (lambda: corpora.peek("tales", 0), ValueError, "count=0"),
        (lambda: corpora.peek("tales", split="test"), ValueError, "split='test'"),
    ],
)
def test_bad_requests_are_named(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_a_folder_without_a_training_text_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"has no \*train\*\.txt"):
        corpora.get(tmp_path)


def test_peek_shows_documents_and_fetches_one_split(hub):
    assert corpora.peek("plain") == ["Once there was a valley."]
    assert hub.downloads == ["valid.txt"]
    assert corpora.peek("plain", 1, split="train") == ["Once there was a train."]
    assert len(corpora.peek("plain", 5, split="train")) == 2


def test_peek_into_a_long_file_shows_whole_documents(tmp_path, monkeypatch):
    monkeypatch.setattr(corpora, "_PEEK_BYTES", 40)
    (tmp_path / "a.txt").write_text("one<|endoftext|>two<|endoftext|>" + "three " * 50)
    assert corpora.peek(tmp_path / "a.txt", 9) == ["one", "two"]
    (tmp_path / "b.txt").write_text("é" * 999)
    assert corpora.peek(tmp_path / "b.txt") == ["é" * 20]


def test_peek_of_tales_makes_no_file(cache):
    assert corpora.peek("tales", 2, split="train", seed=5) == [tales.story(5, i).text for i in (0, 1)]
    assert not cache.exists()


def test_available_tells_sizes_and_sources():
    listed = {corpus.name: corpus for corpus in corpora.available()}
    assert list(listed) == ["tales", "tinystories", "owt"]
    assert listed["tinystories"].valid_bytes == 22_502_601
    assert listed["owt"].train_bytes == 11_920_511_059
    assert all(corpus.about and corpus.source and corpus.license for corpus in listed.values())


def test_every_download_has_its_hash():
    for files in corpora.HUB.values():
        for file in files.values():
            for expected in (file.stored, file.text):
                assert expected is None or (len(expected.sha256) == 64 and int(expected.sha256, 16))
            assert (file.text is not None) == file.filename.endswith(".gz")


@pytest.mark.network
def test_the_real_validation_text_of_tinystories(cache):
    path = downloads.fetch(corpora.HUB["tinystories"]["valid"])
    assert path.stat().st_size == 22_502_601
    assert isinstance(path, Path)
