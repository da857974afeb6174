"""From a config to ids: made once, kept, and never mixed up."""

import numpy as np
import pytest
from training_setup import BYTES, CONFIG, TEXT

from cs336_lib.bpe import Tokenizer
from cs336_lib.data.corpora import TALES_BYTES
from cs336_lib.training import TrainConfig, prepare
from cs336_lib.training import corpus as corpus_of


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("CS336_CACHE_DIR", str(tmp_path / "cache"))


@pytest.fixture
def text(tmp_path):
    path = tmp_path / "cats.txt"
    path.write_text(TEXT)
    return path


def config(**changes):
    return CONFIG.replace(model=CONFIG.model.replace(vocab_size=270), **changes)


def joined(corpus):
    ids = np.concatenate([getattr(part, "ids", part) for part in (corpus.train, corpus.valid)])
    return corpus.tokenizer.decode(ids)


def test_a_text_alone_holds_its_last_documents_out(text):
    corpus = prepare(config(data=str(text)))
    assert joined(corpus) == TEXT
    assert corpus.tokenizer.vocab_size == 270
    assert 0.02 < len(corpus.valid) / (len(corpus.train) + len(corpus.valid)) < 0.07
    assert corpus.tokenizer.decode(corpus.valid).startswith("The cat sat")
    assert corpus.facts["name"] == "cats.txt" and corpus.facts["valid_tokens"] == len(corpus.valid)


def test_a_validation_text_is_used_whole(text, tmp_path):
    other = tmp_path / "other.txt"
    other.write_text("The cat ran. " * 20)
    corpus = prepare(config(data=str(text), valid_data=str(other)))
    assert corpus.tokenizer.decode(corpus.train.ids) == TEXT
    assert corpus.tokenizer.decode(corpus.valid.ids) == "The cat ran. " * 20


def test_the_second_time_everything_is_there_unless_the_text_changed(text):
    said = []
    first = prepare(config(data=str(text)), say=said.append)
    assert len(said) == 2
    again = prepare(config(data=str(text)), say=said.append)
    assert len(said) == 2 and again.facts == first.facts
    text.write_text(TEXT.replace("cat", "hen"))
    changed = prepare(config(data=str(text)), say=said.append)
    assert len(said) == 4 and "hen" in joined(changed)


def test_only_the_first_whole_documents_are_taken(text):
    corpus = prepare(config(data=str(text), data_bytes=1_000))
    whole = joined(corpus)
    assert TEXT.startswith(whole) and whole.endswith("<|endoftext|>") and 900 < len(whole) <= 1_000


def test_tales_come_in_any_size():
    corpus = prepare(config(data="tales", data_bytes=20_000))
    assert 15_000 < len(corpus.tokenizer.decode_bytes(corpus.train.ids)) <= 20_000
    assert len(corpus.valid) > 1_000


def test_a_tokenizer_that_is_given_is_used(text, tmp_path):
    BYTES.save(tmp_path / "bytes")
    corpus = prepare(config(data=str(text), tokenizer=str(tmp_path / "bytes")))
    assert corpus.tokenizer.fingerprint == BYTES.fingerprint
    big = Tokenizer({i: bytes([i]) for i in range(256)}, [], [f"<{i}>" for i in range(50)])
    big.save(tmp_path / "big")
    with pytest.raises(ValueError, match=r"306 ids, .* \(--model.vocab-size 306\)"):
        prepare(config(data=str(text), tokenizer=str(tmp_path / "big")))


def test_what_is_missing_or_too_short_is_named(text, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nothing\.txt"):
        prepare(config(data=str(tmp_path / "nothing.txt")))
    with pytest.raises(FileNotFoundError, match="valid_data"):
        prepare(config(data=str(text), valid_data=str(tmp_path / "nothing.txt")))
    text.write_text("A short text. " * 3)
    with pytest.raises(ValueError, match="take a longer text, or a shorter context_length"):
        prepare(config(data=str(text)))


def test_presets_name_data_that_exists():
    from cs336_lib.data import corpora

    known = {corpus.name for corpus in corpora.available()}
    assert {preset.data for preset in TrainConfig.presets().values()} <= known
    assert TrainConfig.preset("tales-1m").tokens < 8_000_000 / 3.2, "no window is seen twice"


@pytest.mark.parametrize(("preset", "epochs"), [("tales-1m", None), ("tinystories-17m", 1), ("owt-17m", 1)])
def test_a_long_run_on_tales_gets_as_many_as_it_reads(preset, epochs):
    """They have no end; 20 MB of them, the usual size, would be read 67 times by the assignment's run."""
    run = TrainConfig.preset(preset).replace(data="tales", data_bytes=0)
    made = corpus_of._bytes_of_tales(run)
    if epochs is None:
        assert made is None and run.tokens * 4.2 < 4 * TALES_BYTES
    else:
        assert made / 4.2 == pytest.approx(run.tokens / epochs)
