"""Generation: cached or not, alone or in a batch, whole or streamed, the text is the same."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from cs336_lib.bpe import Tokenizer
from cs336_lib.bpe.rules import TextRules
from cs336_lib.generation import SamplingConfig, decode, decoding, generate, stream, training_sample
from cs336_lib.generation.decoding import window_start
from cs336_lib.model import ModelConfig, TransformerLM, compiled_step
from cs336_lib.model.cache import KVCache

BYTES = Tokenizer({i: bytes([i]) for i in range(256)}, [], ["<|endoftext|>"])
NO_END = Tokenizer({i: bytes([i]) for i in range(256)}, [])
CONFIG = ModelConfig(vocab_size=300, context_length=12, d_model=24, num_layers=2, num_heads=3, d_ff=40)
PROMPTS = ["a", "hello", "a prompt that is longer than the context of twelve", "xyz"]


@pytest.fixture(params=["reference", "fast"])
def model(request):
    torch.manual_seed(0)
    model = TransformerLM(CONFIG.replace(backend=request.param))
    with torch.no_grad():
        for p in model.parameters():
            p.mul_(2)  # sharper than a fresh model, so that positions and context matter
    return model


def same(a, b):
    assert [x.ids for x in a] == [x.ids for x in b]
    for x, y in zip(a, b, strict=True):
        assert x.log_probs == pytest.approx(y.log_probs, abs=1e-4)


@pytest.mark.parametrize(
    "how",
    [
        SamplingConfig(40, temperature=0),
        SamplingConfig(40, seed=1),
        SamplingConfig(40, temperature=0.7, top_k=20, top_p=0.9, repetition_penalty=1.3, seed=2),
    ],
    ids=["greedy", "plain", "everything"],
)
def test_the_cache_changes_nothing_far_past_the_context(model, how):
    same(generate(model, BYTES, PROMPTS, how), generate(model, BYTES, PROMPTS, how, use_cache=False))


@pytest.mark.parametrize("use_cache", [True, False])
def test_a_row_is_the_same_alone_and_in_company(model, use_cache):
    how = SamplingConfig(30, temperature=0)
    together = generate(model, BYTES, PROMPTS, how, use_cache=use_cache)
    same(together, [generate(model, BYTES, prompt, how, use_cache=use_cache) for prompt in PROMPTS])


def slow_greedy(model, ids, count):
    """Decode by the definition: the whole window through the model, the likeliest token to the end."""
    ids = list(ids)
    for _ in range(count):
        window = ids[window_start(len(ids), CONFIG.context_length) :]
        ids.append(model(torch.tensor([window]))[0, -1, :257].argmax().item())
    return ids


def test_greedy_decoding_is_its_definition(model):
    ours = generate(model, BYTES, "hello", SamplingConfig(30, temperature=0, stop_at_end=False)).ids
    assert BYTES.encode("hello") + ours == slow_greedy(model, BYTES.encode("hello"), 30)


@pytest.mark.parametrize("context", [1, 2, 3, 8, 9])
def test_the_window_slides_by_half_a_context_and_never_overflows(context):
    starts = [window_start(length, context) for length in range(1, 50)]
    for length, start in enumerate(starts, 1):
        assert 1 <= length - start <= context
        assert length <= context or length - start > context // 2 - 1
    assert starts == sorted(starts)
    assert window_start(context, context) == 0


def test_the_cache_saves_work(model, monkeypatch):
    fed = {True: 0, False: 0}
    hidden_states = TransformerLM.hidden_states
    for use_cache in fed:

        def count(self, ids, *args, use_cache=use_cache):
            fed[use_cache] += ids.numel()
            return hidden_states(self, ids, *args)

        monkeypatch.setattr(TransformerLM, "hidden_states", count)
        generate(model, BYTES, "hello", SamplingConfig(60, temperature=0, stop_at_end=False), use_cache=use_cache)
    assert fed[True] < fed[False] / 4


def test_the_same_seed_gives_the_same_text_and_the_global_generator_is_left_alone(model):
    torch.manual_seed(5)
    before = torch.get_rng_state()
    one, two, other = (generate(model, BYTES, "a", SamplingConfig(20, seed=seed)) for seed in (3, 3, 4))
    assert torch.equal(torch.get_rng_state(), before)
    assert one == two and one.ids != other.ids
    free = {tuple(generate(model, BYTES, "a", SamplingConfig(20)).ids) for _ in range(3)}
    assert len(free) == 3


def test_rows_of_neighboring_seeds_are_drawn_apart(model):
    """Nine rows of three seeds: the second row of a seed is not the first one of the next."""
    rows = [row for seed in (3, 4, 5) for row in generate(model, BYTES, ["a"] * 3, SamplingConfig(12, seed=seed))]
    assert len({tuple(row.ids) for row in rows}) == 9


def always(model, ids):
    """Make the model say `ids` in turn, whatever it reads."""
    answers = iter(ids)

    def logits(hidden):
        out = torch.full((*hidden.shape[:-1], CONFIG.vocab_size), -50.0)
        out[..., next(answers)] = 50.0
        return out

    model.logits = logits


def test_a_model_of_nan_is_an_error_and_not_a_token(model):
    model.logits = lambda hidden: torch.full((*hidden.shape[:-1], CONFIG.vocab_size), torch.nan)
    with pytest.raises(ValueError, match=r"largest logit of row 0 is nan.*earlier checkpoint"):
        generate(model, BYTES, "xy", SamplingConfig(3, top_p=0.9))


def test_it_stops_at_the_end_of_text_and_says_so(model):
    always(model, [104, 105, 256, 33])
    result = generate(model, BYTES, "x", SamplingConfig(10, temperature=0))
    assert (result.text, result.ids, result.ended) == ("hi", [104, 105], True)
    always(model, [104, 256, 33])
    result = generate(model, BYTES, "x", SamplingConfig(3, temperature=0, stop_at_end=False))
    assert (result.text, result.ended) == ("h<|endoftext|>!", False)


def test_a_stream_never_breaks_a_character(model):
    text = "h\u00e9\u4f60\U0001f600!"
    always(model, [*text.encode(), 0xE4, 0xBD, 256])
    pieces = list(stream(model, BYTES, "x", SamplingConfig(50, temperature=0)))
    assert pieces == [*text, "\ufffd"]


def test_streamed_pieces_are_the_generated_text(model):
    for seed in range(3):
        how = SamplingConfig(40, seed=seed)
        assert "".join(stream(model, BYTES, "abc", how)) == generate(model, BYTES, "abc", how).text


def test_log_probabilities_are_the_models_own(model):
    result = generate(model, NO_END, "abc", SamplingConfig(5, temperature=0.5, top_k=3, seed=0))
    ids = [*NO_END.encode("abc"), *result.ids]
    logits = model(torch.tensor([ids]))[0].detach()
    expected = torch.log_softmax(logits, -1)[range(2, 7), ids[3:]].tolist()
    assert result.log_probs == pytest.approx(expected, abs=1e-4)


def test_ids_that_the_tokenizer_lacks_are_never_drawn(model):
    for use_cache in (True, False):
        result = generate(model, NO_END, ["a"] * 4, SamplingConfig(50, temperature=5.0), use_cache=use_cache)
        assert all(token < 256 for row in result for token in row.ids)


def with_gaps(ids, specials):
    return Tokenizer({i: bytes([i]) for i in ids}, [], specials, rules=TextRules(gaps=True))


GAPS = {
    "a special token far behind": with_gaps(range(256), {"<|endoftext|>": 299}),
    "two of them": with_gaps(range(256), {"<|endoftext|>": 257, "<|fim|>": 290}),
    "bytes that are missing": with_gaps([*b"abcdefghij", 250], ["<|endoftext|>"]),
    "the first id": with_gaps(range(1, 200), []),
}


@pytest.mark.parametrize("name", GAPS)
@pytest.mark.parametrize("more", [{}, {"top_p": 0.9}, {"top_k": 4, "repetition_penalty": 0.5}], ids=str)
def test_ids_in_gaps_are_never_drawn(model, name, more, monkeypatch):
    tokenizer, how = GAPS[name], SamplingConfig(40, temperature=5.0, stop_at_end=False, seed=1, **more)
    known = tokenizer.vocab.keys()
    assert sorted({*known, *tokenizer.gaps}) == list(range(tokenizer.vocab_size)) and not known & {*tokenizer.gaps}
    for worth in (0, compiled_step.WORTH_LOADING):  # decoding asks it whether kernels compute
        monkeypatch.setattr(compiled_step, "WORTH_LOADING", worth)
        for use_cache in (True, False):
            results = generate(model, tokenizer, ["a", "bad"], how, use_cache=use_cache)
            assert all({*row.ids} <= known and len(row.ids) == 40 for row in results)
    assert "".join(stream(model, tokenizer, "a", how)) == results[0].text
    assert training_sample(model, tokenizer, GapAsks).startswith("bad")


class GapAsks:
    sample_prompt, sample_tokens, seed = "bad", 20, 0


def test_what_is_not_to_be_drawn_changes_no_probability_of_the_model_and_no_draw_without_it(model):
    how, logits = SamplingConfig(1, temperature=0), model(torch.tensor([[1, 2]]))[0, -1].detach()
    best, second = logits.topk(2).indices.tolist()
    (step,) = decode(model, [[1, 2]], how, without=[best, best])
    assert (step.token, step.log_prob) == (second, pytest.approx(logits.log_softmax(-1)[second].item(), abs=1e-5))
    free = SamplingConfig(20, seed=4)
    assert list(decode(model, [[1, 2]], free, without=[299], vocab_size=299)) == list(
        decode(model, [[1, 2]], free, vocab_size=299)
    )


class OldRow:
    """What has a length and places, and is a row for Python without being an Iterable."""

    def __init__(self, ids):
        self.ids = ids

    def __len__(self):
        return len(self.ids)

    def __getitem__(self, place):
        return self.ids[place]


ROWS = [list, tuple, set, iter, np.array, torch.tensor, lambda ids: (i for i in ids), OldRow]


@pytest.mark.parametrize("row", ROWS)
def test_ids_that_are_not_to_be_drawn_come_in_any_row(model, row):
    how, barred = SamplingConfig(20, seed=4, temperature=3), [*range(0, 300, 2)]
    want = list(decode(model, [[1, 2]], how, without=barred))
    assert list(decode(model, [[1, 2]], how, without=row(barred))) == want
    assert not {step.token for step in want} & {*barred}
    free = list(decode(model, [[1, 2]], how))
    assert free == list(decode(model, [[1, 2]], how, without=row([])))


@pytest.mark.parametrize(
    ("without", "kind", "says"),
    [
        ([-1], ValueError, r"without\[0\] is -1; it must be 0 or more"),
        ([3, 300], ValueError, r"without\[1\] is 300; it must be 299 or less"),
        ([True], TypeError, r"without\[0\] must be a whole number, got True"),
        (range(300), ValueError, "without has all 300 ids that may be drawn; leave one out"),
        *((wrong, TypeError, "without must be a row of ids, got .*; write .. for none") for wrong in (None, 3)),
        ("ab", TypeError, r"without\[0\] must be a whole number, got 'a'"),
        (torch.tensor(3), TypeError, "without must be a row of ids, got 3"),
        (torch.ones(2), TypeError, r"without\[0\] must be a whole number, got 1\.0"),
        ([3, "x"], TypeError, r"without\[1\] must be a whole number, got 'x'"),
    ],
)
def test_what_can_not_be_barred_is_named(model, without, kind, says):
    with pytest.raises(kind, match=says):
        next(decode(model, [[1, 2]], SamplingConfig(max_tokens=1), without=without))


def test_a_tokenizer_of_ones_own_needs_no_more_than_is_asked_of_it(model):
    names = ("vocab_size", "special_tokens", "encode", "decode", "decode_bytes")
    own = SimpleNamespace(**{name: getattr(BYTES, name) for name in names})
    config = SamplingConfig(max_tokens=5, seed=1)
    assert generate(model, own, "Once", config) == generate(model, BYTES, "Once", config)
    assert list(stream(model, own, "Once", config)) == list(stream(model, BYTES, "Once", config))


def test_an_empty_prompt_begins_a_document_where_that_is_possible(model):
    how = SamplingConfig(5, temperature=0)
    assert generate(model, BYTES, "", how).ids == generate(model, BYTES, "<|endoftext|>", how).ids
    with pytest.raises(ValueError, match="the prompt is empty, and the tokenizer has no"):
        generate(model, NO_END, ["a", ""], how)
    with pytest.raises(ValueError, match="no prompt"):
        generate(model, BYTES, [], how)
    with pytest.raises(ValueError, match="one token at least"):
        list(decode(model, [[]], how))


def test_a_tokenizer_of_another_model_is_refused(model):
    big = Tokenizer({i: bytes([i]) for i in range(256)}, [], [f"<{i}>" for i in range(100)])
    with pytest.raises(ValueError, match="356 ids and the model 300"):
        generate(model, big, "a")


def test_ended_rows_leave_the_others_alone(model, monkeypatch):
    """One row ends at once, the others go on past the context; the cache is filled anew for those that are left."""
    filled = []
    make = KVCache.__init__
    monkeypatch.setattr(
        KVCache, "__init__", lambda self, c, rows, *a, **k: (filled.append(rows), make(self, c, rows, *a, **k))[1]
    )
    (first,) = [step.token for step in decode(model, [[97]], SamplingConfig(1, temperature=0))]
    prompts = [[97], [98, 99], [100]]
    how = SamplingConfig(30, temperature=0)
    cached, plain = (list(decode(model, prompts, how, end=first, use_cache=use)) for use in (True, False))
    assert [(s.row, s.token) for s in cached] == [(s.row, s.token) for s in plain]
    assert not any(step.row == 0 for step in cached) and filled[1] == 3 and filled[-1] < 3


class Asks:
    sample_prompt, sample_tokens, seed = "Once", 20, 0


def test_a_training_sample_and_whoever_says_so_never_compile(monkeypatch):
    """Whether a machine has compiled its kernels yet must not decide between two tokens of a run's record."""
    asked = []
    worth_it = staticmethod(lambda *about: asked.append(about))
    monkeypatch.setattr(decoding.CompiledStep, "is_worth_it", worth_it)
    model, how = TransformerLM(CONFIG.replace(backend="fast")), SamplingConfig(3, seed=0)
    training_sample(model, BYTES, Asks)
    assert list(decode(model, [[1]], how, compiled=False)) and generate(model, BYTES, "a", how, compiled=False).ids
    assert not asked
    assert generate(model, BYTES, "a", how).ids and len(asked) == 1


def test_a_training_sample_repeats(model):
    assert training_sample(model, BYTES, Asks) == training_sample(model, BYTES, Asks)
    assert training_sample(model, BYTES, Asks).startswith("Once")


@pytest.mark.parametrize(
    ("vocab_size", "kind", "says"),
    [
        (0, ValueError, "vocab_size is 0; it must be 1 or more"),
        (-1, ValueError, "vocab_size is -1"),
        (True, TypeError, "vocab_size must be a whole number, got True"),
        (2.5, TypeError, "got 2.5"),
    ],
)
def test_what_is_no_vocabulary_is_named(model, vocab_size, kind, says):
    with pytest.raises(kind, match=says):
        next(decode(model, [[1, 2]], SamplingConfig(max_tokens=1), vocab_size=vocab_size))


def test_ids_that_may_not_be_drawn_count_in_the_models_own_probabilities(model):
    step = next(decode(model, [[1, 2]], SamplingConfig(max_tokens=1, seed=0), vocab_size=9))
    own = model(torch.tensor([[1, 2]]))[0, -1].log_softmax(-1)
    assert step.token < 9 and step.log_prob == pytest.approx(own[step.token].item(), abs=1e-5)
