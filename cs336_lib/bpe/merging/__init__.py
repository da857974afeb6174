"""From counted pre-tokens to merges: the index of pairs, the queue of candidates and the kernels between them."""
