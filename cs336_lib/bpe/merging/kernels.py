"""The compiled half of merging: words as flat arrays, and pair counts that are kept up to date instead of recounted.

Every byte of every distinct word is a node; a token is the node of its first byte, the nodes behind it are dead:

    word          n  e  w  e  s  t               after s·t and e·st
    node          0  1  2  3  4  5               0  1  2  3      .  .
    TOKEN         n  e  w  e  s  t               n  e  w  est
    PAIR          ne ew we es st -1              ne ew w·est -1           the pair that starts here, -1 at a word's end
    PREVIOUS     -1  0  1  2  3  4              -1  0  1  2
    WORD          7  7  7  7  7  7               7  7  7  7               its count weighs each occurrence

    nodes      rows of four int32: TOKEN PAIR PREVIOUS WORD
    pairs      rows of four int32: LEFT RIGHT FIRST LISTED     occurrences[FIRST:FIRST + LISTED] are its nodes
    partners   rows of four int32: LEFT_STEP LEFT_PAIR RIGHT_STEP RIGHT_PAIR    one for each token, see below

No hash map from a pair to its row is needed. All occurrences of a pair come into being in the one step that makes its
newer token: they are found together, listed once and contiguously, and `partners`, which says in which step a token
last stood left or right of the new one and what row their pair has, is good for that step alone. Afterward counts
only fall, and occurrences only go stale: a listed node whose PAIR is another by now is passed over.

That also makes overlapping repeats right. In "abababab" the step a·b visits nodes 0, 2, 4, 6 in turn: it makes ab·a at
node 0, and takes it back at once for ab·ab when it comes to node 2. Trainers that look the neighbors up in the text as
it was before the step count b·ab instead, a pair that no longer exists.
"""

from typing import NamedTuple

from cs336_lib.bpe.merging.queue import Queue, Tokens, drop_top, enqueue, peek_pair, token_prefix
from cs336_lib.bpe.merging.rows import (
    BYTE_PAIRS,
    EXHAUSTED,
    FIRST,
    FOUND_WANTED,
    LEFT,
    LEFT_PAIR,
    LEFT_STEP,
    LISTED,
    MERGES,
    NEEDS_ROOM,
    OCCURRENCES,
    PAIR,
    PAIRS,
    PREVIOUS,
    REACHED,
    RIGHT,
    RIGHT_PAIR,
    RIGHT_STEP,
    ROW,
    TEXT_USED,
    TOKEN,
    WORD,
)
from cs336_lib.native.intrinsics import prefetch
from cs336_lib.native.types import Bytes, Int, Int32s, Int64s, UInt64s, inlined, kernel

# How many occurrences ahead nodes are asked for from memory; 8 to 16 measured alike.
_AHEAD = 12


class Corpus(NamedTuple):
    """The words and the pairs in them."""

    nodes: Int32s
    word_counts: Int64s
    pairs: Int32s
    pair_counts: Int64s
    occurrences: Int32s
    partners: Int32s
    progress: Int64s


class Found(NamedTuple):
    """The occurrences of new pairs that a step has found, in the order it came by them."""

    pairs: Int32s
    nodes: Int32s


@kernel
def lay_out_words(
    text: Bytes,
    bounds: Int64s,
    counts: Int64s,
    words: Int,
    nodes: Int32s,
    listed: Int64s,
    pair_counts: Int64s,
) -> Int:
    """Write the nodes of all words of two bytes or more, PAIR excepted, and count the pairs of bytes; the node count.

    `listed[256 * left + right]` is how many nodes a pair starts at, `pair_counts` how often it occurs in the corpus.
    """
    node = 0
    for word in range(words):
        start, end = bounds[word], bounds[word + 1]
        if end - start < 2:
            continue
        for at in range(start, end):
            row = ROW * node
            nodes[row + TOKEN] = text[at]
            nodes[row + PAIR] = -1
            nodes[row + PREVIOUS] = node - 1 if at > start else -1
            nodes[row + WORD] = word
            if at > start:
                pair = 256 * text[at - 1] + text[at]
                listed[pair] += 1
                pair_counts[pair] += counts[word]
            node += 1
    return node


@kernel
def list_byte_pairs(
    nodes: Int32s,
    node_count: Int,
    listed: Int64s,
    byte_pair_counts: Int64s,
    rows_of: Int64s,
    pairs: Int32s,
    pair_counts: Int64s,
    occurrences: Int32s,
    heap_counts: Int64s,
    heap_pairs: Int32s,
    heads: Int32s,
    following: Int32s,
    lengths: Int32s,
    prefixes: UInt64s,
    offsets: Int64s,
    text: Bytes,
    progress: Int64s,
) -> Int:
    """Make the rows, the occurrence lists and the queue of the pairs of bytes; the length of the longest list."""
    tokens = Tokens(lengths, prefixes, offsets, text)
    queue = Queue(heap_counts, heap_pairs, heads, following)
    for byte in range(256):
        text[byte] = byte
        lengths[byte] = 1
        offsets[byte] = byte
        prefixes[byte] = token_prefix(text, byte, 1)
    progress[TEXT_USED] = 256
    longest = 0
    for byte_pair in range(BYTE_PAIRS):
        if listed[byte_pair] > 0:
            pair = progress[PAIRS]
            pairs[ROW * pair + LEFT] = byte_pair >> 8
            pairs[ROW * pair + RIGHT] = byte_pair & 0xFF
            pairs[ROW * pair + FIRST] = progress[OCCURRENCES]
            pairs[ROW * pair + LISTED] = 0
            pair_counts[pair] = byte_pair_counts[byte_pair]
            rows_of[byte_pair] = pair
            progress[PAIRS] += 1
            progress[OCCURRENCES] += listed[byte_pair]
            longest = max(longest, listed[byte_pair])
            enqueue(queue, pair, pairs, pair_counts, tokens, progress)
    for node in range(1, node_count):
        previous = nodes[ROW * node + PREVIOUS]
        if previous >= 0:
            pair = rows_of[256 * nodes[ROW * previous + TOKEN] + nodes[ROW * node + TOKEN]]
            nodes[ROW * previous + PAIR] = pair
            row = ROW * pair
            occurrences[pairs[row + FIRST] + pairs[row + LISTED]] = previous
            pairs[row + LISTED] += 1
    return longest


@inlined
def new_pair(left: Int, right: Int, corpus: Corpus) -> Int:
    """A row for a pair that hasn't been seen."""
    pair = corpus.progress[PAIRS]
    corpus.progress[PAIRS] = pair + 1
    corpus.pairs[ROW * pair + LEFT] = left
    corpus.pairs[ROW * pair + RIGHT] = right
    corpus.pairs[ROW * pair + LISTED] = 0
    corpus.pair_counts[pair] = 0
    return pair


@inlined
def add_occurrence(pair: Int, node: Int, count: Int, corpus: Corpus, found: Found, found_count: Int) -> Int:
    """Note that a pair, new in this step, starts at a node."""
    corpus.pair_counts[pair] += count
    corpus.pairs[ROW * pair + LISTED] += 1
    corpus.nodes[ROW * node + PAIR] = pair
    found.pairs[found_count] = pair
    found.nodes[found_count] = node
    return found_count + 1


@inlined
def replace_pair(pair: Int, token: Int, left_length: Int, length: Int, corpus: Corpus, found: Found) -> Int:
    """Replace every occurrence of a pair by the new token; how many occurrences of new pairs that made.

    before      x      left   right      y
    after       x      token             y          x·left and right·y each lose one, x·token and token·y gain one
    """
    nodes, partners, step = corpus.nodes, corpus.partners, corpus.progress[MERGES]
    first = corpus.pairs[ROW * pair + FIRST]
    last = first + corpus.pairs[ROW * pair + LISTED]
    found_count = 0
    for index in range(first, last):
        if index + _AHEAD < last:
            prefetch(nodes, ROW * corpus.occurrences[index + _AHEAD])
        node = corpus.occurrences[index]
        row = ROW * node
        if nodes[row + PAIR] != pair:
            continue
        count = corpus.word_counts[nodes[row + WORD]]
        right_row = ROW * (node + left_length)
        pair_behind = nodes[right_row + PAIR]
        node_before = nodes[row + PREVIOUS]
        nodes[row + TOKEN] = token
        nodes[row + PAIR] = -1
        nodes[right_row + PAIR] = -1
        if node_before >= 0:
            corpus.pair_counts[nodes[ROW * node_before + PAIR]] -= count
            neighbor = nodes[ROW * node_before + TOKEN]
            if partners[ROW * neighbor + LEFT_STEP] != step:
                partners[ROW * neighbor + LEFT_STEP] = step
                partners[ROW * neighbor + LEFT_PAIR] = new_pair(neighbor, token, corpus)
            made = partners[ROW * neighbor + LEFT_PAIR]
            found_count = add_occurrence(made, node_before, count, corpus, found, found_count)
        if pair_behind >= 0:
            corpus.pair_counts[pair_behind] -= count
            neighbor_row = ROW * (node + length)
            nodes[neighbor_row + PREVIOUS] = node
            neighbor = nodes[neighbor_row + TOKEN]
            if partners[ROW * neighbor + RIGHT_STEP] != step:
                partners[ROW * neighbor + RIGHT_STEP] = step
                partners[ROW * neighbor + RIGHT_PAIR] = new_pair(token, neighbor, corpus)
            made = partners[ROW * neighbor + RIGHT_PAIR]
            found_count = add_occurrence(made, node, count, corpus, found, found_count)
    corpus.pair_counts[pair] = 0
    return found_count


@inlined
def list_occurrences(first_pair: Int, corpus: Corpus, found: Found, found_count: Int) -> None:
    """Sort what a step has found into one list for each of its new pairs."""
    pairs, progress = corpus.pairs, corpus.progress
    for pair in range(first_pair, progress[PAIRS]):
        row = ROW * pair
        pairs[row + FIRST] = progress[OCCURRENCES]
        progress[OCCURRENCES] += pairs[row + LISTED]
        pairs[row + LISTED] = 0
    for index in range(found_count):
        row = ROW * found.pairs[index]
        corpus.occurrences[pairs[row + FIRST] + pairs[row + LISTED]] = found.nodes[index]
        pairs[row + LISTED] += 1


@inlined
def append_token(left: Int, right: Int, token: Int, tokens: Tokens, progress: Int64s) -> None:
    """Write the bytes of a new token behind those of the others."""
    at = progress[TEXT_USED]
    tokens.offsets[token] = at
    for part in (left, right):
        for index in range(tokens.lengths[part]):
            tokens.text[at + index] = tokens.text[tokens.offsets[part] + index]
        at += tokens.lengths[part]
    tokens.lengths[token] = at - progress[TEXT_USED]
    tokens.prefixes[token] = token_prefix(tokens.text, progress[TEXT_USED], tokens.lengths[token])
    progress[TEXT_USED] = at


@kernel
def make_merges(
    until: Int,
    nodes: Int32s,
    word_counts: Int64s,
    pairs: Int32s,
    pair_counts: Int64s,
    pair_room: Int,
    occurrences: Int32s,
    partners: Int32s,
    found_pairs: Int32s,
    found_nodes: Int32s,
    found_room: Int,
    heap_counts: Int64s,
    heap_pairs: Int32s,
    heads: Int32s,
    following: Int32s,
    lengths: Int32s,
    prefixes: UInt64s,
    offsets: Int64s,
    text: Bytes,
    text_room: Int,
    merges: Int32s,
    progress: Int64s,
) -> Int:
    """Make merges until there are `until`: REACHED, EXHAUSTED if no pair is left, NEEDS_ROOM to be called again."""
    corpus = Corpus(nodes, word_counts, pairs, pair_counts, occurrences, partners, progress)
    found = Found(found_pairs, found_nodes)
    queue = Queue(heap_counts, heap_pairs, heads, following)
    tokens = Tokens(lengths, prefixes, offsets, text)
    while progress[MERGES] < until:
        pair = peek_pair(queue, pairs, pair_counts, tokens, progress)
        if pair < 0:
            return EXHAUSTED
        left, right = pairs[ROW * pair + LEFT], pairs[ROW * pair + RIGHT]
        token = 256 + progress[MERGES]
        length = lengths[left] + lengths[right]
        progress[FOUND_WANTED] = 2 * pairs[ROW * pair + LISTED]
        if (
            progress[PAIRS] + 2 * token > pair_room
            or progress[FOUND_WANTED] > found_room
            or progress[TEXT_USED] + length > text_room
        ):
            return NEEDS_ROOM
        drop_top(queue, pairs, tokens, progress)
        append_token(left, right, token, tokens, progress)
        merges[2 * progress[MERGES]] = left
        merges[2 * progress[MERGES] + 1] = right
        first_pair = progress[PAIRS]
        found_count = replace_pair(pair, token, lengths[left], length, corpus, found)
        list_occurrences(first_pair, corpus, found, found_count)
        for made in range(first_pair, progress[PAIRS]):
            enqueue(queue, made, pairs, pair_counts, tokens, progress)
        progress[MERGES] += 1
    return REACHED
