"""The library under the CS336 book: a language model from scratch, from bytes to text.

Each sub-package is a chapter: `bpe`, `data`, `model`, `accounting`, `optim`, `training`, `generation`, `experiments`;
`figures` draws. Importing this module imports none of them, and so neither torch nor numba.
"""

__version__ = "0.2.0"
