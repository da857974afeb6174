"""What chapter 7 says of sampling settings holds for a model that is trained here."""

from itertools import pairwise

import numpy as np
import pytest
import torch

from cs336_lib.bpe import Tokenizer, train_bpe
from cs336_lib.data import tales
from cs336_lib.generation import SamplingConfig, generate
from cs336_lib.model import ModelConfig
from cs336_lib.training import PreparedCorpus, TrainConfig, Trainer

END = "<|endoftext|>"
PROMPTS = ["Once upon a time", "One day", "This is a story about"]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A small model after few steps, and its tokenizer; so little text that nothing is compiled."""
    folder = tmp_path_factory.mktemp("listen")
    tales.write(folder / "tales.txt", 150_000, seed=0)
    tokenizer = Tokenizer(*train_bpe(folder / "tales.txt", 512, [END]), [END])
    ids = np.array(tokenizer.encode((folder / "tales.txt").read_text()), dtype=np.uint16)
    config = TrainConfig(
        ModelConfig(512, 64, d_model=64, num_layers=2, num_heads=4, backend="fast"),
        batch_size=8,
        steps=150,
        lr=1e-2,
        min_lr=1e-4,
        warmup_steps=15,
        eval_windows=8,
        device="cpu",
    )
    trainer = Trainer(config, folder / "run", PreparedCorpus(tokenizer, ids[:-1000], ids[-1000:]), progress=False)
    trainer.fit()
    return trainer.model.eval(), tokenizer


def repeated(text, size=4):
    """Return the share of sequences of words that occurred before."""
    words = text.split()
    grams = [tuple(words[i : i + size]) for i in range(len(words) - size + 1)]
    return 1 - len(set(grams)) / max(len(grams), 1)


def test_the_nucleus_is_one_token_in_places_and_dozens_in_others(trained):
    model, tokenizer = trained
    stories = [tales.story(seed=5, index=index, split="valid").text for index in range(8)]
    with torch.no_grad():
        logits = model(torch.tensor([tokenizer.encode(story)[:64] for story in stories]))
    probabilities = torch.softmax(logits, dim=-1)
    sizes = (probabilities.sort(dim=-1, descending=True).values.cumsum(-1) < 0.9).sum(-1) + 1
    assert sizes.min() == 1
    assert sizes.max() >= 24


OTHERS = ["In a small village", "She", "There was"], ["Tom", "Mia", "They"]


@pytest.mark.parametrize("seed", [3, 4, 5])
@pytest.mark.parametrize("beginnings", [PROMPTS, *OTHERS], ids=lambda beginnings: beginnings[0])
def test_greedy_text_repeats_itself_most_and_surprise_grows_with_the_temperature(trained, beginnings, seed):
    model, tokenizer = trained
    surprise, repetition = {}, {}
    for temperature in (0.0, 0.3, 0.7, 1.0, 1.5):
        setting = SamplingConfig(max_tokens=100, temperature=temperature, stop_at_end=False, seed=seed)
        texts = generate(model, tokenizer, beginnings, setting)
        surprise[temperature] = -sum(sum(t.log_probs) for t in texts) / sum(len(t.ids) for t in texts)
        repetition[temperature] = sum(repeated(t.text) for t in texts) / len(texts)
    assert all(repetition[0.0] > share for temperature, share in repetition.items() if temperature)
    warm = [value for temperature, value in surprise.items() if temperature]
    assert all(a < b for a, b in pairwise(warm))


@pytest.mark.parametrize("beginnings", [PROMPTS, *OTHERS], ids=lambda beginnings: beginnings[0])
def test_greedy_text_goes_round_in_circles_without_seeing_that_it_does(trained, beginnings):
    model, tokenizer = trained

    def share(view):
        texts = []
        for beginning in beginnings:
            ids = tokenizer.encode(beginning)
            with torch.no_grad():
                for _ in range(200):
                    ids.append(int(model(torch.tensor([ids[-view:]]))[0, -1].argmax()))
            texts.append(tokenizer.decode(ids))
        return sum(map(repeated, texts)) / len(texts)

    assert share(8) > share(model.config.context_length)
