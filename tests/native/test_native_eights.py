"""What is done for eight words at a time is what is done for one."""

import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from cs336_lib.native.eights import PACKS_HALVES
from cs336_lib.native.library import KernelLibrary

sys.path.insert(0, str(Path(__file__).parent))
EIGHTS = KernelLibrary(
    "eights",
    ("eight_kernels", "cs336_lib.bpe.cutting.scanner", "cs336_lib.native.eights", "cs336_lib.native.intrinsics"),
)
TAG = 0xFF << 24
ALL = (1 << 64) - 1


@given(st.integers(0, ALL), st.integers(0, 2**40), st.integers(0, 70))
@example(0, 5, 0)
@example(ALL, 5, 3)
@example(1 << 63, 0, 0)
@pytest.mark.parametrize("way", ["positions", "positions_in_turn"])
def test_positions_of_set_bits_are_appended(way, bits, base, count):
    out = np.full(count + 128, -1, np.int64)
    after = getattr(EIGHTS, way)(np.array([bits], np.uint64), base, out, count)
    expected = [base + k for k in range(64) if bits >> k & 1]
    assert after == count + len(expected) and out[count:after].tolist() == expected
    assert (out[:count] == -1).all() and (out[count + 64 :] == -1).all()


@pytest.mark.parametrize("seed", range(20))
def test_rows_are_compared_by_key_and_tag(seed):
    chooser = np.random.default_rng(seed)
    first = int(chooser.integers(0, 3)) * 8
    count = first + 64
    keys = chooser.integers(0, 3, count).astype(np.uint64)
    sizes = chooser.integers(1, 4, count).astype(np.uint64) << np.uint64(24)
    rows = np.empty(3 * count, np.uint64)
    rows[0 : 2 * count : 2] = chooser.integers(0, 3, count)
    values = chooser.integers(0, 1 << 63, count).astype(np.uint64)
    values &= ~np.uint64(TAG)
    values |= chooser.integers(1, 4, count).astype(np.uint64) << np.uint64(24)
    rows[1 : 2 * count : 2], rows[2 * count :] = values, sizes
    expected = (rows[0 : 2 * count : 2] != keys) | ((values & np.uint64(TAG)) != sizes)
    found, others = keys.copy(), np.zeros(1, np.uint64)
    EIGHTS.settle_64(rows, 2 * count, first, found, others)
    assert [bool(int(others[0]) >> k & 1) for k in range(64)] == expected[first:].tolist()
    assert found[first:].tolist() == values[first:].tolist() and found[:first].tolist() == keys[:first].tolist()


def answer(count: int, low: int, high: int, tag: int) -> int:
    return count << 56 | high << 32 | tag << 24 | low


answers = st.builds(
    answer,
    st.sampled_from([1, 1, 1, 2, 2, 3, 255]),
    st.integers(0, (1 << 24) - 1),
    st.integers(0, (1 << 24) - 1),
    st.integers(0, 255),
)


@given(st.lists(answers, min_size=8, max_size=8), st.integers(0, 5))
def test_numbers_are_packed_up_to_the_first_value_with_more_than_two(values, count):
    out = np.full(count + 40, -1, np.int32)
    packed = EIGHTS.pack_eight(np.array([0, *values], np.uint64), 1, out, count)
    expected, taken = [], 0
    for value in values if PACKS_HALVES else []:
        if value >> 56 > 2:
            break
        taken += 1
        expected += [value & 0xFFFFFF, value >> 32 & 0xFFFFFF][: value >> 56]
    assert (packed & 15, packed >> 4) == (taken, len(expected))
    assert out[count : count + len(expected)].tolist() == expected
    assert (out[:count] == -1).all() and (out[count + 16 :] == -1).all()


def test_where_nothing_is_packed_nothing_is_taken():
    out = np.full(20, -1, np.int32)
    assert EIGHTS.pack_nothing(np.full(8, answer(1, 7, 0, 0), np.uint64), 0, out, 0) == 0
    assert (out == -1).all()


def test_sixteen_bytes_and_pairs_go_where_they_are_sent():
    numbers, out = np.arange(10, dtype=np.int32), np.zeros(9, np.int32)
    EIGHTS.copy_numbers(numbers, 3, out, 2)
    assert out.tolist() == [0, 0, 3, 4, 5, 6, 0, 0, 0]
    EIGHTS.store_two(out, 5, np.array([7 << 32 | 9], np.uint64))
    assert out.tolist() == [0, 0, 3, 4, 5, 9, 7, 0, 0]
    words, copied = np.arange(10, dtype=np.uint64) << np.uint64(40), np.zeros(6, np.uint64)
    EIGHTS.copy_words(words, 7, copied, 1)
    assert copied.tolist() == [0, 7 << 40, 8 << 40, 0, 0, 0]
