"""The instruments by name: where each stands, what it is without JavaScript, and what to try."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape


@dataclass(frozen=True)
class Instrument:
    """One instrument.

    Attributes:
        name: of its drawing module `web/draw_NAME.mjs`.
        title: above it.
        notebook: stem of the chapter that it stands in; the first where it stands in several.
        about: what it shows, in a sentence: its text alternative.
        tries: experiments, each a sentence.
        data: names of `data` that it may load.
        options: names of what `display` may set, such as the suite that is chosen at first.
    """

    name: str
    title: str
    notebook: str
    about: str
    tries: tuple[str, ...]
    data: tuple[str, ...] = ()
    options: tuple[str, ...] = ()

    def html(self, **options: str) -> str:
        """The place of the instrument in a page, readable as it stands where no script runs.

        Args:
            options: what is set at first.

        Raises:
            ValueError: the instrument has no such option; the error names those it has.

        >>> INSTRUMENTS["rope"].html()[:64]
        '<div class="cs336-instrument" data-instrument="rope" role="group'
        """
        if unknown := [option for option in options if option not in self.options]:
            known = ", ".join(self.options) or "none"
            raise ValueError(f"the instrument {self.name!r} has no option {unknown[0]!r}; it has: {known}")
        chosen = "".join(f'data-{option}="{escape(value)}" ' for option, value in options.items())
        tries = "".join(f"<li>{escape(text)}</li>" for text in self.tries)
        return (
            f'<div class="cs336-instrument" data-instrument="{self.name}" {chosen}role="group" '
            f'aria-label="Instrument: {escape(self.title)}">'
            f'<p class="ci-title">{escape(self.title)}</p><p class="ci-about">{escape(self.about)}</p>'
            f'<div class="ci-body"><p class="ci-still">It works in a browser with JavaScript; the figures of this page '
            f"show the same without it.</p></div>"
            f'<div class="ci-tries"><p>What to try</p><ul>{tries}</ul></div></div>'
        )


_ALL = (
    Instrument(
        "unicode",
        "A text, its code points and its bits",
        "01_unicode",
        "Type a text and see each code point with the bits of its UTF-8, UTF-16 and UTF-32; change a byte of the UTF-8 "
        "and see what a decoder makes of it.",
        (
            "Type é in both forms (the preset Accents): one looks like the other, and the bytes differ.",
            "Flip the first bit of a lead byte: how many characters are lost, and which come back?",
            "Set the bytes to C0 80, ED A0 80 or F4 90 80 80: each breaks another rule.",
        ),
    ),
    Instrument(
        "bpe",
        "Byte-pair encoding, a merge at a time",
        "02_bpe_training",
        "Train on a text of your own: pair counts, the pair that is merged, and the words as they stand after it. "
        "Right and wrong bookkeeping can be seen side by side.",
        (
            "Step through the handout's example: at the first merge two pairs are tied. Which wins, and why?",
            "Choose the trap and make two merges: the old-split trainer merges a pair that no word holds.",
            "Paste a page of your own language and run 200 merges: which words become one token first?",
        ),
        ("classes",),
    ),
    Instrument(
        "tokenizer",
        "Four tokenizers to play with",
        "03_tokenizer",
        "Type a text and see its tokens under one or two of four tokenizers: this book's three and GPT-2's. Click a "
        "token to see its id, its bytes and the merges that built it.",
        (
            "Compare the TinyStories tokenizer with OpenWebText's on the story, then on the line of code: "
            "the shorter one changes.",
            "Choose strawberry, three ways: GPT-2 has one token for it behind a space, and three at the "
            "start of the text.",
            "Type <|endoftext|>, then switch special tokens off: one id becomes several.",
        ),
        ("classes", "tales", "tinystories-10k", "owt-32k", "gpt2"),
    ),
    Instrument(
        "rope",
        "RoPE: only the distance counts",
        "04_architecture",
        "A query and a key at two positions, each pair of channels turned by its own angle, and their inner product, "
        "which depends on the distance alone.",
        (
            "Move both positions by the same amount: all pairs turn, and the inner product stays.",
            "Move the key alone: the first pairs swing quickly, the last hardly move.",
            "Raise the base: which pairs stop turning within 1,024 positions?",
        ),
    ),
    Instrument(
        "accounting",
        "What a model costs",
        "05_accounting",
        "Choose a model and a batch: parameters, FLOPs by component, memory of a training step by kind against the "
        "memory of accelerators, and days of training; the numbers of the command cs336 account.",
        (
            "Raise the context of gpt2-xl to 16,384: attention scores pass the feed-forward network at 9,600.",
            "Find the largest batch of gpt2-xl that fits 80 GB; then switch to the fused attention.",
            "Set 25 heads and a d_model of 1,024: the line below says what is impossible.",
        ),
        ("accounting",),
    ),
    Instrument(
        "schedule",
        "Learning rates: a schedule, and a toy that decays or leaves",
        "06_training",
        "The learning rate of each step under a cosine or WSD schedule, and the handout's toy problem at a rate of "
        "your choice: its loss decays, oscillates or leaves.",
        (
            "Drag the toy's rate from 10 over 50 and 100 to 1,000: decay, one jump to zero, a swing, and off it goes.",
            "At a rate of 100 the first step changes nothing. At which step does the loss become zero?",
            "Set the end of the cosine behind the end of the run: the rate never arrives at its minimum.",
        ),
    ),
    Instrument(
        "sampling",
        "Draw the next token by hand",
        "07_generation",
        "A small model of this book writes a story in the page: its probabilities of the next token under temperature, "
        "top-k and top-p, to draw from or to choose by hand.",
        (
            "Set the temperature to 0 and draw on, twice: the story is the same each time.",
            "Compare top-k 5 with top-p 0.9 in the middle of a name and at the start of a sentence.",
            "Choose an unlikely token by hand: does the model find its way back?",
        ),
        ("model",),
    ),
    Instrument(
        "runs",
        "The runs on record",
        "08_learning_rate",
        "Loss curves of every run in the records: by suite, learning rate and seed, against steps, tokens or time, "
        "with the lowest validation loss of each named.",
        (
            "In lr-sweep choose three rates: the smallest, the best, and one that is too large.",
            "Choose batch-size-cpu and switch from steps to tokens: which batches fall fastest on the same text?",
            "Point at a curve, or move through the list with the arrow keys, to single it out.",
        ),
        ("runs",),
        ("suite",),
    ),
    Instrument(
        "cluster",
        "A training on many GPUs, on paper",
        "11_scaling",
        "Choose a model, a GPU and a network: the efficiency of DDP and FSDP2 against the number of GPUs, and the "
        "days, GPU hours and dollars of a training, by the formulas of this chapter.",
        (
            "Lower the network from 400 to 10 Gbit/s: from how many GPUs on does each one wait?",
            "Go from 1,024 to 8,192 GPUs: how much sooner is the training done, and what does it cost?",
            "Raise the MFU: the faster a GPU computes, the less of the sending it hides.",
        ),
        ("accounting",),
    ),
)

INSTRUMENTS: dict[str, Instrument] = {instrument.name: instrument for instrument in _ALL}
"""Name -> instrument, in the order of the chapters."""
