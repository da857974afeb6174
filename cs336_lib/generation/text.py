"""Text in, text out: prompts to continuations, whole or as a stream (chapter 7)."""

from __future__ import annotations

import codecs
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol, overload

from cs336_lib.bpe import Tokenizer
from cs336_lib.generation.decoding import decode
from cs336_lib.generation.sampling import SamplingConfig, check_sampling
from cs336_lib.model import TransformerLM

END_OF_TEXT = "<|endoftext|>"


@dataclass(frozen=True)
class Generation:
    """A continuation.

    Attributes:
        prompt: what it continues.
        text: what was added; bytes that are not UTF-8 show as U+FFFD.
        ids: the tokens that were added, without the one that ends.
        log_probs: log-probability of each of them under the model itself, in nats.
        ended: whether `<|endoftext|>` came, rather than the limit of tokens.
    """

    prompt: str
    text: str
    ids: list[int]
    log_probs: list[float]
    ended: bool


@overload
def generate(  # type: ignore[overload-overlap]  # a string is a sequence of strings as well
    model: TransformerLM,
    tokenizer: Tokenizer,
    prompts: str,
    config: SamplingConfig = ...,
    *,
    use_cache: bool = ...,
    compiled: bool = ...,
) -> Generation: ...
@overload
def generate(
    model: TransformerLM,
    tokenizer: Tokenizer,
    prompts: Sequence[str],
    config: SamplingConfig = ...,
    *,
    use_cache: bool = ...,
    compiled: bool = ...,
) -> list[Generation]: ...
def generate(
    model: TransformerLM,
    tokenizer: Tokenizer,
    prompts: str | Sequence[str],
    config: SamplingConfig | None = None,
    *,
    use_cache: bool = True,
    compiled: bool = True,
) -> Generation | list[Generation]:
    """Continue a prompt, or several side by side.

    Args:
        model: the language model.
        tokenizer: the one it was trained with.
        prompts: a string or a list of them. An empty one is begun with `<|endoftext|>`, after which a document begins.
        config: how to draw; `SamplingConfig()` when None.
        use_cache: keep keys and values; without, the result is the same up to rounding, only slower.
        compiled: let compiled kernels compute where they pay and are there; see `decode`. With False a seed gives the
            same text whether this machine has compiled them yet or not.

    Returns:
        A `Generation`, or a list of them for a list of prompts.

    Raises:
        TypeError: a prompt is no string, or `config` no `SamplingConfig`.
        ValueError: a prompt is empty and the tokenizer has no `<|endoftext|>`, or it has ids that the model lacks.

    Source: handout, problem (decoding).

    >>> import torch
    >>> from cs336_lib.model import ModelConfig
    >>> _ = torch.manual_seed(0)
    >>> model = TransformerLM(ModelConfig(vocab_size=257, context_length=8, d_model=16, num_layers=1, num_heads=2))
    >>> tokenizer = Tokenizer({i: bytes([i]) for i in range(256)}, [], ["<|endoftext|>"])
    >>> result = generate(model, tokenizer, "Hi", SamplingConfig(max_tokens=20, temperature=0))
    >>> len(result.ids) == len(result.log_probs) <= 20
    True
    """
    config = SamplingConfig() if config is None else config
    check_sampling(config)
    if isinstance(prompts, bytes | bytearray) or not isinstance(prompts, Iterable):
        raise TypeError(f"prompts must be a string or several, got {type(prompts).__name__}")
    listed = [prompts] if isinstance(prompts, str) else list(prompts)
    start, end = encode_prompts(model, tokenizer, listed), end_of_text(tokenizer)
    ids: list[list[int]] = [[] for _ in listed]
    log_probs: list[list[float]] = [[] for _ in listed]
    stop = end if config.stop_at_end else None
    ways = {"use_cache": use_cache, "compiled": compiled}
    size, gaps = tokenizer.vocab_size, _gaps(tokenizer)
    for step in decode(model, start, config, end=stop, vocab_size=size, without=gaps, **ways):
        ids[step.row].append(step.token)
        log_probs[step.row].append(step.log_prob)
    results = [
        Generation(prompt, tokenizer.decode(mine), mine, theirs, ended=len(mine) < config.max_tokens)
        for prompt, mine, theirs in zip(listed, ids, log_probs, strict=True)
    ]
    return results[0] if isinstance(prompts, str) else results


def stream(
    model: TransformerLM, tokenizer: Tokenizer, prompt: str, config: SamplingConfig | None = None
) -> Iterator[str]:
    """Continue a prompt and yield the text as it comes, never half a character.

    A token may end in the middle of a UTF-8 character; its bytes wait for the rest. What is no UTF-8 shows as U+FFFD.
    Joined, the pieces are `generate(...).text`.

    Args:
        model: the language model.
        tokenizer: the one it was trained with.
        prompt: as for `generate`.
        config: how to draw; `SamplingConfig()` when None.

    Yields:
        Pieces of text, none of them empty.
    """
    config = SamplingConfig() if config is None else config
    check_sampling(config)
    start = encode_prompts(model, tokenizer, [prompt])
    stop = end_of_text(tokenizer) if config.stop_at_end else None
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    for step in decode(model, start, config, end=stop, vocab_size=tokenizer.vocab_size, without=_gaps(tokenizer)):
        if piece := decoder.decode(tokenizer.decode_bytes([step.token])):
            yield piece
    if piece := decoder.decode(b"", final=True):
        yield piece


def end_of_text(tokenizer: Tokenizer) -> int | None:
    """Return the id of `<|endoftext|>`, None if the tokenizer has none."""
    return tokenizer.encode(END_OF_TEXT)[0] if END_OF_TEXT in tokenizer.special_tokens else None


def encode_prompts(model: TransformerLM, tokenizer: Tokenizer, prompts: Sequence[str]) -> list[list[int]]:
    """Return the ids of prompts, `<|endoftext|>` for an empty one.

    Raises:
        ValueError: as `generate`.
    """
    if tokenizer.vocab_size > model.config.vocab_size:
        raise ValueError(
            f"the tokenizer has {tokenizer.vocab_size} ids and the model {model.config.vocab_size}; they were not "
            "made for each other"
        )
    if not prompts:
        raise ValueError("there is no prompt; give one string at least")
    end = end_of_text(tokenizer)
    if end is None and "" in prompts:
        raise ValueError(f"the prompt is empty, and the tokenizer has no {END_OF_TEXT!r} to begin with; give a word")
    return [tokenizer.encode(prompt) or [end] for prompt in prompts]  # type: ignore[list-item]


def _gaps(tokenizer: Tokenizer) -> Sequence[int]:
    """Ids without a token; a tokenizer of somebody else's that does not tell has none."""
    return getattr(tokenizer, "gaps", ())


class AsksForSamples(Protocol):
    """What `training_sample` reads of a training config."""

    @property
    def sample_prompt(self) -> str:
        """What the sample begins with."""

    @property
    def sample_tokens(self) -> int:
        """Most tokens to add."""

    @property
    def seed(self) -> int:
        """Decides what is drawn."""


def training_sample(model: TransformerLM, tokenizer: Tokenizer, config: AsksForSamples) -> str:
    """Write a sample for a run's record, the same for the same weights: temperature 0.8, top-p 0.95, uncompiled.

    Pass it to `cs336_lib.training.Trainer(..., write_sample=training_sample)`.

    Args:
        model: as it is.
        tokenizer: of the run.
        config: the run.

    Returns:
        Prompt and continuation.
    """
    how = SamplingConfig(max_tokens=config.sample_tokens, temperature=0.8, top_p=0.95, seed=config.seed)
    result = generate(model, tokenizer, config.sample_prompt, how, compiled=False)
    return result.prompt + result.text + (END_OF_TEXT if result.ended else "")
