"""Decoding: one token after the other, with a cache of keys and values or without (chapter 7).

B batch, S sequence, V vocab.

Past the context length the window slides, by half a context at a time::

    tokens so far      0 ........ S                   the model sees all of them
    one more               S/2 ........ S             it sees the last half, then up to a whole context again

Where the window begins depends on the number of tokens alone, so the two ways to compute, and a row alone or in a
batch, see the same tokens. Sliding by one token at a time would make the cache useless: a rotated key says at which
place in the window it is, and above the first layer keys hold what their token saw, which slid out with the rest.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from cs336_lib.generation.compiled_sampling import DRAW, CompiledSampler
from cs336_lib.generation.sampling import SamplingConfig, check_sampling, distribution, draw, log_probability
from cs336_lib.model import KVCache, TransformerLM
from cs336_lib.model.compiled_step import CompiledStep
from cs336_lib.model.fast_step import FastStep
from cs336_lib.model.numpy_step import NumpyStep
from cs336_lib.naming import check_whole


@dataclass(frozen=True)
class Step:
    """One new token of one row.

    Attributes:
        row: which prompt.
        token: its id.
        log_prob: its log-probability under the model itself, in nats: before temperature, top-k, top-p and penalty.
    """

    row: int
    token: int
    log_prob: float


def window_start(length: int, context_length: int) -> int:
    """Return which token the model's window begins with when `length` tokens are there.

    >>> [window_start(n, 8) for n in (1, 8, 9, 12, 13, 16, 17)]
    [0, 0, 4, 4, 8, 8, 12]
    """
    slide = context_length - context_length // 2
    return -(-max(length - context_length, 0) // slide) * slide


@torch.inference_mode()  # no_grad keeps count of versions and views, which took a fifth of the time on a small model
def decode(
    model: TransformerLM,
    prompts: Iterable[Sequence[int]] | Tensor,
    config: SamplingConfig,
    *,
    end: int | None = None,
    vocab_size: int | None = None,
    without: Iterable[int] | Tensor = (),
    use_cache: bool = True,
    compiled: bool = True,
) -> Iterator[Step]:
    """Continue prompts side by side, and yield each token as it is drawn.

    Args:
        model: the language model; its weights must stay as they are until the last token.
        prompts: ids, one at least in each; they may be of any lengths, longer than the context as well. Lists, arrays,
            a tensor of shape (B, S), any iterable.
        config: how to draw, and how many tokens.
        end: id that ends a row; it is not yielded.
        vocab_size: ids from here on are never drawn; all of the model's are allowed when None.
        without: further ids that are never drawn, such as `Tokenizer.gaps`; a list, a tensor, any iterable.
        use_cache: keep keys and values instead of computing them anew for each token. The tokens are the same, unless
            rounding decides between two, which in half precision it often does.
        compiled: with a cache, let compiled kernels compute where they pay and are there. A machine compiles them when
            it has written for a while, and from then on rounding may decide otherwise between two tokens; with False a
            seed gives the same tokens before and after.

    Yields:
        For each step, the new token of every row that has not ended.

    Raises:
        TypeError: a prompt is text, or holds something else than ids, or `without` does; or `config` is no
            `SamplingConfig`.
        ValueError: there is no prompt, one is empty, an id is outside the model's vocabulary, `vocab_size` is below 1,
            `without` leaves nothing to draw, or the model's logits are not numbers.
    """
    check_sampling(config)
    rows = _rows(prompts, model.config.vocab_size)
    allowed = model.config.vocab_size if vocab_size is None else check_whole("vocab_size", vocab_size, least=1)
    barred = _barred(without, model.config.vocab_size, allowed)
    end = None if end is None else check_whole("end", end)
    generators = [_generator(config.seed, row) for row in range(len(rows))]
    active = list(range(len(rows)))
    score = _Cached(model, len(rows), config.max_tokens, compiled) if use_cache else _whole_windows(model)
    by_kernel = isinstance(score, _Cached) and score.kind is CompiledStep
    sample = _sampler(config, allowed, barred, by_kernel)
    for _ in range(config.max_tokens):
        seen = [rows[row] for row in active]
        logits = score(seen, active).float().cpu()  # B V
        uniform = torch.cat([_uniform(generators[row]) for row in active])
        tokens, chosen = sample(logits, uniform, seen)
        still = []
        for row, token, log_prob in zip(active, tokens.tolist(), chosen.tolist(), strict=True):
            if token == end:
                continue
            rows[row].append(token)
            still.append(row)
            yield Step(row, token, log_prob)
        active = still
        if not active:
            return


Sampler = Callable[[Tensor, Tensor, Sequence[Sequence[int]]], tuple[Tensor, Tensor]]
"""From logits, (B, V), uniform numbers and the ids so far to tokens and their log-probabilities."""


def _barred(without: Iterable[int] | Tensor, vocab_size: int, allowed: int) -> list[int]:
    """Return the ids below `allowed` that are not to be drawn, each once.

    Raises:
        TypeError: they are no whole numbers.
        ValueError: one is outside the model's vocabulary, or they leave nothing to draw.
    """
    listed = without.tolist() if hasattr(without, "tolist") else without
    try:
        listed = list(listed)
    except TypeError:
        raise TypeError(f"without must be a row of ids, got {listed!r:.60}; write () for none") from None
    ids = {check_whole(f"without[{place}]", i, 0, vocab_size - 1) for place, i in enumerate(listed)}
    barred = sorted(i for i in ids if i < allowed)
    if len(barred) == min(allowed, vocab_size):
        raise ValueError(f"without has all {len(barred)} ids that may be drawn; leave one out at least")
    return barred


def _sampler(config: SamplingConfig, vocab_size: int, barred: list[int], compiled: bool) -> Sampler:
    """Return what draws tokens: the definition, or one kernel beside steps that are compiled, where it is there.

    The kernel draws of the first ids of a vocabulary; where some among them are barred, the definition does.
    """
    if compiled and not barred and CompiledSampler.usable(config):
        if DRAW.is_ready():
            kernel = CompiledSampler(config)
            return lambda logits, uniform, seen: kernel(logits, vocab_size, uniform)
        DRAW.prepare()

    def sample(logits: Tensor, uniform: Tensor, seen: Sequence[Sequence[int]]) -> tuple[Tensor, Tensor]:
        allowed = logits
        if barred or vocab_size < logits.shape[-1]:
            allowed = logits.clone()
            allowed[:, vocab_size:] = -torch.inf
            allowed[:, barred] = -torch.inf
        tokens = draw(distribution(allowed, config, seen if config.repetition_penalty != 1 else None), uniform)
        return tokens, log_probability(logits, tokens)

    return sample


def _rows(prompts: Iterable[Sequence[int]] | Tensor, vocab_size: int) -> list[list[int]]:
    """Prompts as lists of integers, walked once."""
    listed = prompts.tolist() if hasattr(prompts, "tolist") else prompts
    if isinstance(listed, str | bytes) or not isinstance(listed, Iterable):
        raise TypeError(f"prompts must be several rows of ids, got {listed!r:.60}")
    rows = []
    for row, prompt in enumerate(listed):
        ids = prompt.tolist() if hasattr(prompt, "tolist") else prompt
        if isinstance(ids, str | bytes):
            raise TypeError(f"prompts[{row}] is text ({ids[:20]!r}); encode it first, or use generate")
        if not isinstance(ids, Iterable):
            raise TypeError(f"prompts[{row}] is {ids!r}, and must be a row of ids; write [[...]] for one prompt")
        rows.append([check_whole(f"prompts[{row}][{place}]", i, 0, vocab_size - 1) for place, i in enumerate(ids)])
    if not rows or not all(rows):
        raise ValueError("each prompt needs one token at least, and there must be one prompt")
    return rows


def _generator(seed: int | None, row: int) -> torch.Generator:
    generator = torch.Generator()
    if seed is None:
        generator.seed()
    else:
        # One stream per row; neighboring seeds give unrelated ones, since mt19937 is seeded through a mixing function.
        generator.manual_seed((seed * 1_000_003 + row) % 2**63)
    return generator


def _uniform(generator: torch.Generator) -> Tensor:
    """One number from 0 to below 1, the same whatever type and device are torch's defaults."""
    return torch.rand(1, generator=generator, dtype=torch.float32, device="cpu")


def _windows(rows: Sequence[Sequence[int]], context_length: int) -> list[Sequence[int]]:
    return [row[window_start(len(row), context_length) :] for row in rows]


def _padded(windows: Sequence[Sequence[int]], device: torch.device) -> Tensor:
    """Put windows of unequal length into one (B, S) tensor, padded on the right, where no real token looks."""
    longest = max(map(len, windows))
    return torch.tensor([[*window, *[0] * (longest - len(window))] for window in windows], device=device)


def _whole_windows(model: TransformerLM) -> Callable[[list[list[int]], list[int]], Tensor]:
    """Return the plain way to the logits: a forward pass over every window at every step."""

    def score(rows: list[list[int]], names: list[int]) -> Tensor:
        windows = _windows(rows, model.config.context_length)
        device = model.head_weight.device
        hidden = model.hidden_states(_padded(windows, device))
        ends = torch.tensor([len(window) - 1 for window in windows], device=device)
        return model.logits(hidden[torch.arange(len(rows), device=device), ends])

    return score


class _Cached:
    """The quick way: only the new token of each row goes through the model.

    When a window slides, or room runs out, the cache is filled anew from the windows of the rows that are left. A model
    on the fast backend takes its steps by `CompiledStep`, `NumpyStep` or `FastStep`. Which, is decided once: their last
    digits differ.

    Args:
        model: the language model.
        rows: that are written side by side.
        tokens: that each gets at most.
        compiled: whether kernels may compute.
    """

    def __init__(self, model: TransformerLM, rows: int, tokens: int, compiled: bool) -> None:
        self.model = model
        self.cache: KVCache | None = None
        self.kind: type[CompiledStep | NumpyStep] | None = None  # one that keeps its matrices from cache to cache
        if FastStep.usable(model) and NumpyStep.usable(model):
            by_kernel = compiled and CompiledStep.is_worth_it(model, rows, tokens)
            self.kind = CompiledStep if by_kernel else NumpyStep
        self.kept: CompiledStep | NumpyStep | None = None
        self.step: CompiledStep | NumpyStep | FastStep | None = None
        self.names: list[int] = []
        self.starts: list[int] = []

    def __call__(self, rows: list[list[int]], names: list[int]) -> Tensor:
        """Return the logits of the next token of each row, (B, V)."""
        context = self.model.config.context_length
        starts = [window_start(len(row), context) for row in rows]
        cache = self.cache
        if cache is None or len(cache) == cache.capacity or names != self.names or starts != self.starts:
            return self._fill(rows, names, starts)
        device = self.model.head_weight.device
        places = [len(row) - 1 - start for row, start in zip(rows, starts, strict=True)]
        if self.step is not None and not torch.is_autocast_enabled(device.type):
            return self.step(torch.tensor([row[-1] for row in rows], device=device), places)
        x = torch.tensor([[row[-1]] for row in rows], device=device)
        hidden = self.model.hidden_states(x, cache, torch.tensor([[place] for place in places], device=device))
        return self.model.logits(hidden[:, 0])

    def _fill(self, rows: list[list[int]], names: list[int], starts: list[int]) -> Tensor:
        config, weight = self.model.config, self.model.head_weight
        self.names, self.starts = list(names), starts
        windows = [row[start:] for row, start in zip(rows, starts, strict=True)]
        self.cache = KVCache(config, len(rows), device=weight.device, dtype=weight.dtype)
        x = _padded(windows, weight.device)
        places = torch.arange(x.shape[1], device=weight.device).expand_as(x)
        hidden = self.model.hidden_states(x, self.cache, places)
        self.step = self._step(self.cache)
        ends = torch.tensor([len(window) - 1 for window in windows], device=weight.device)
        return self.model.logits(hidden[torch.arange(len(rows), device=weight.device), ends])

    def _step(self, cache: KVCache) -> CompiledStep | NumpyStep | FastStep | None:
        """Return what takes the next steps, from a cache that was just filled; None leaves them to the model."""
        if not FastStep.usable(self.model):
            return None
        if self.kind is None:
            return FastStep(self.model, cache)
        self.kept = self.kept or self.kind(self.model)
        self.kept.begin(cache)
        return self.kept
