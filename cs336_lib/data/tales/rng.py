"""Counter-based random numbers: draw n of story i is a pure function of (seed, split, i, n).

SplitMix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014): a counter stepped by
an odd constant, then a bijective mixing of 64 bits. The first steps turn (seed, split, i) into the key where the
counter of that story starts. `kernel` holds the compiled twin.
"""

from __future__ import annotations

MASK = (1 << 64) - 1
GOLDEN = 0x9E3779B97F4A7C15
MIX_1 = 0xBF58476D1CE4E5B9
MIX_2 = 0x94D049BB133111EB


def mix(z: int) -> int:
    """The SplitMix64 finalizer, a bijection of 64-bit integers."""
    z = ((z ^ (z >> 30)) * MIX_1) & MASK
    z = ((z ^ (z >> 27)) * MIX_2) & MASK
    return z ^ (z >> 31)


def story_key(seed: int, split: int, index: int) -> int:
    """The counter's start for one story; each of the three numbers is mixed in turn."""
    key = mix((seed + GOLDEN) & MASK)
    key = mix((key ^ split) + GOLDEN & MASK)
    return mix((key ^ index) + GOLDEN & MASK)


class Stream:
    """The random numbers of one story.

    >>> stream = Stream(seed=0, split=0, index=0)
    >>> [stream.below(6) for _ in range(8)]
    [0, 0, 4, 4, 1, 4, 1, 3]
    """

    def __init__(self, seed: int, split: int, index: int) -> None:
        self.state = story_key(seed, split, index)

    def below(self, n: int) -> int:
        """A uniform integer in [0, n), for 0 < n < 2**32, without bias.

        Multiply-and-reject (Lemire, "Fast random integer generation in an interval", TOMACS 2019) on the upper 32 bits.
        """
        while True:
            self.state = (self.state + GOLDEN) & MASK
            product = (mix(self.state) >> 32) * n
            low = product & 0xFFFFFFFF
            if low >= n or low >= (1 << 32) % n:
                return product >> 32
