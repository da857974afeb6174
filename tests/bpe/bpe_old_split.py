"""The mistake of chapter 2's section 2.5, written once more: a trainer that counts new pairs in the old split."""

from collections import Counter
from itertools import pairwise


def old_split_merges(counts, steps):
    """The mistake of section 2.5, written again: neighbors are looked up in the split before the merge."""
    words = [([bytes([byte]) for byte in word], count) for word, count in counts.items()]
    pairs = Counter()
    for tokens, count in words:
        for pair in pairwise(tokens):
            pairs[pair] += count
    merges = []
    for _ in range(steps):
        pairs = Counter({pair: count for pair, count in pairs.items() if count > 0})
        if not pairs:
            break
        best = max(pairs, key=lambda pair: (pairs[pair], pair))
        merges.append(best)
        new_words = []
        for tokens, count in words:
            merged, at, changed = [], 0, False
            while at < len(tokens):
                if tuple(tokens[at : at + 2]) == best:
                    merged.append(best[0] + best[1])
                    at += 2
                    changed = True
                else:
                    merged.append(tokens[at])
                    at += 1
            if changed:
                for i, here in enumerate(pairwise(tokens)):
                    if here != best:
                        continue
                    # Counts of a pair never fall below zero, as in the write-up's trainer, which deletes empty ones.
                    for gone, new in (
                        ((tokens[i - 1], best[0]), (tokens[i - 1], best[0] + best[1])) if i > 0 else (None, None),
                        ((best[1], tokens[i + 2]), (best[0] + best[1], tokens[i + 2]))
                        if i + 2 < len(tokens)
                        else (None, None),
                    ):
                        if gone is not None:
                            pairs[gone] = max(0, pairs[gone] - count)
                            pairs[new] += count
            new_words.append((merged, count))
        words = new_words
        del pairs[best]
    return merges
